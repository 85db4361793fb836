//! k-means: seeds by k-means|| (Bahmani et al. 2012), then Lloyd's algorithm with scikit-learn's rule for the end.

use serde::{Deserialize, Serialize};
use shardmill_common::failure::Failure;
use shardmill_common::model::{KMeansOptions, Learn, Learnt, Packed, SeedRound, Seeds};

use super::seeding::{choose, distance};

/// Candidates of one round, as a multiple of the clusters.
const OVERSAMPLING: f64 = 2.0;

/// ```text
///  First -> Cost -> Choose -+-> Weigh -> Lloyd -+-> Last
///             ^-------------+              ^----+
/// ```
/// A round of k-means|| takes two: what a row's chance is depends on the cost of all, which only the first tells.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    First,
    Cost,
    Choose {
        cost: f64,
    },
    Weigh,
    Lloyd,
    /// The inertia of the centres as they are left.
    Last {
        converged: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KMeans {
    options: KMeansOptions,
    seed: u64,
    /// Mean variance of the encoded features.
    variance: f64,
    width: usize,
    phase: Phase,
    /// Rounds of k-means|| that are done.
    seeded: u32,
    steps: u32,
    /// Candidates, later centres.
    centers: Vec<Packed>,
    last: Option<(f64, Vec<u64>)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Clustered {
    pub centers: Vec<Vec<f64>>,
    pub inertia: f64,
    pub sizes: Vec<u64>,
    pub converged: bool,
}

/// The sums of all shards.
struct Totals {
    counts: Vec<u64>,
    sums: Vec<Packed>,
    inertia: f64,
    /// Of each shard the row that is farthest from its centre, the farthest of all first.
    farthest: Vec<(f64, Packed)>,
}

/// What a round of Lloyd's tells: the inertia, and how far the centres moved as a share of the variance.
pub type Told = Option<(f64, f64)>;

impl KMeans {
    pub fn new(options: KMeansOptions, seed: u64, variances: &[f64]) -> Self {
        let variance = variances.iter().sum::<f64>() / variances.len().max(1) as f64;
        let width = variances.len();
        let (phase, centers) = (Phase::First, Vec::new());
        Self { options, seed, variance, width, phase, seeded: 0, steps: 0, centers, last: None }
    }

    /// Starts from centres instead of seeds.
    pub fn from_centers(options: KMeansOptions, centers: Vec<Vec<f64>>, variances: &[f64]) -> Self {
        let centers = centers.into_iter().map(Packed).collect();
        Self { phase: Phase::Lloyd, centers, ..Self::new(options, 0, variances) }
    }

    pub fn request(&self) -> Learn {
        let (seed, round) = (self.seed, self.seeded + 1);
        let seeds =
            |centers: Vec<Packed>, rate: f64, round: u32| Learn::Seeds(SeedRound { seed, round, centers, rate });
        match self.phase {
            Phase::First => seeds(Vec::new(), 0.0, 0),
            Phase::Cost => seeds(self.centers.clone(), 0.0, round),
            Phase::Choose { cost } => {
                let wanted = OVERSAMPLING * f64::from(self.options.clusters);
                seeds(self.centers.clone(), wanted / cost, round)
            }
            Phase::Weigh | Phase::Lloyd | Phase::Last { .. } => Learn::Centroids { centers: self.centers.clone() },
        }
    }

    pub fn accept(&mut self, shards: Vec<Learnt>) -> Result<(Told, Option<Clustered>), Failure> {
        match self.phase {
            Phase::First | Phase::Cost | Phase::Choose { .. } => self.seeds(shards).map(|()| (None, None)),
            Phase::Weigh => self.weigh(&self.add_up(shards)?).map(|()| (None, None)),
            Phase::Lloyd => self.lloyd(self.add_up(shards)?),
            Phase::Last { converged } => {
                let sums = self.add_up(shards)?;
                Ok((None, Some(self.clustered(&sums, converged))))
            }
        }
    }

    fn seeds(&mut self, shards: Vec<Learnt>) -> Result<(), Failure> {
        let seeds = shards
            .into_iter()
            .map(|learnt| match learnt {
                Learnt::Seeds(seeds) => Ok(seeds),
                _ => Err(Failure::internal("a shard brought no seeds")),
            })
            .collect::<Result<Vec<Seeds>, _>>()?;
        let cost: f64 = seeds.iter().map(|s| s.cost).sum();
        let chosen = seeds.into_iter().flat_map(|s| s.chosen);
        match self.phase {
            Phase::First => {
                let first = chosen.min_by_key(|(random, _)| *random);
                let (_, row) = first.ok_or_else(|| Failure::bad_input("there are no rows to cluster"))?;
                self.centers = vec![row];
                self.phase = if self.options.clusters == 1 { Phase::Lloyd } else { Phase::Cost };
            }
            Phase::Cost if cost > 0.0 => self.phase = Phase::Choose { cost },
            Phase::Cost => {
                // Every row is a candidate.
                self.are_enough()?;
                self.phase = Phase::Weigh;
            }
            _ => {
                for (_, row) in chosen {
                    // Equal rows in different shards are one candidate.
                    if !self.centers.iter().any(|c| c.0 == row.0) {
                        self.centers.push(row);
                    }
                }
                self.seeded += 1;
                let enough = self.centers.len() >= self.options.clusters as usize;
                // Each round finds one or more in the mean.
                let most = self.options.seeding_rounds.saturating_add(self.options.clusters).saturating_add(50);
                if !enough && self.seeded > most {
                    return Err(Failure::internal("k-means|| finds no more seeds"));
                }
                self.phase =
                    if enough && self.seeded >= self.options.seeding_rounds { Phase::Weigh } else { Phase::Cost };
            }
        }
        if self.centers.iter().any(|c| c.0.len() != self.width) {
            return Err(Failure::internal("a seed does not fit the features"));
        }
        Ok(())
    }

    fn are_enough(&self) -> Result<(), Failure> {
        let (found, wanted) = (self.centers.len(), self.options.clusters as usize);
        if found >= wanted {
            return Ok(());
        }
        Err(too_few(found, wanted))
    }

    fn weigh(&mut self, sums: &Totals) -> Result<(), Failure> {
        let points: Vec<Vec<f64>> = std::mem::take(&mut self.centers).into_iter().map(|p| p.0).collect();
        let weights: Vec<f64> = sums.counts.iter().map(|n| *n as f64).collect();
        let centers = choose(&points, &weights, self.options.clusters as usize, self.seed);
        self.centers = centers.into_iter().map(Packed).collect();
        self.are_enough()?;
        self.phase = Phase::Lloyd;
        Ok(())
    }

    fn lloyd(&mut self, sums: Totals) -> Result<(Told, Option<Clustered>), Failure> {
        self.steps += 1;
        let mut far = sums.farthest.iter().filter(|(d, _)| *d > 0.0);
        let mut shift = 0.0;
        let mut moved = self.centers.clone();
        for ((center, count), sum) in moved.iter_mut().zip(&sums.counts).zip(&sums.sums) {
            let before = center.clone();
            if *count > 0 {
                center.0.iter_mut().zip(&sum.0).for_each(|(c, s)| *c += s / *count as f64);
            } else if let Some((_, row)) = far.next() {
                center.clone_from(row);
            } else {
                let used = sums.counts.iter().filter(|n| **n > 0).count();
                return Err(too_few(used, self.options.clusters as usize));
            }
            shift += distance(&center.0, &before.0);
        }
        let share = if self.variance > 0.0 { shift / self.variance } else { 0.0 };
        let told = Some((sums.inertia, share));
        // The same rows in the same clusters: the centres move by rounding alone.
        let same = self.last.as_ref().is_some_and(|(inertia, counts)| {
            *counts == sums.counts && (inertia - sums.inertia).abs() <= 1e-13 * inertia && share <= 1e-20
        });
        if same || shift == 0.0 {
            return Ok((told, Some(self.clustered(&sums, true))));
        }
        self.centers = moved;
        if share <= self.options.tol {
            self.phase = Phase::Last { converged: true };
        } else if self.steps >= self.options.max_iter {
            self.phase = Phase::Last { converged: false };
        }
        self.last = Some((sums.inertia, sums.counts));
        Ok((told, None))
    }

    fn clustered(&self, sums: &Totals, converged: bool) -> Clustered {
        let centers = self.centers.iter().map(|c| c.0.clone()).collect();
        Clustered { centers, inertia: sums.inertia, sizes: sums.counts.clone(), converged }
    }

    /// Adds in the order of the shards.
    fn add_up(&self, shards: Vec<Learnt>) -> Result<Totals, Failure> {
        let n = self.centers.len();
        let mut total = Totals {
            counts: vec![0; n],
            sums: vec![Packed(vec![0.0; self.width]); n],
            inertia: 0.0,
            farthest: Vec::new(),
        };
        for learnt in shards {
            let Learnt::Centroids(sums) = learnt else {
                return Err(Failure::internal("a shard brought no sums of clusters"));
            };
            if sums.counts.len() != n || sums.sums.len() != n || sums.sums.iter().any(|s| s.0.len() != self.width) {
                return Err(Failure::internal("the sums of a shard do not fit the centres"));
            }
            total.counts.iter_mut().zip(&sums.counts).for_each(|(a, b)| *a += b);
            for (mine, other) in total.sums.iter_mut().zip(&sums.sums) {
                mine.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a += b);
            }
            total.inertia += sums.inertia;
            total.farthest.extend(sums.farthest);
        }
        total.farthest.sort_by(|a, b| b.0.total_cmp(&a.0));
        Ok(total)
    }
}

fn too_few(found: usize, wanted: usize) -> Failure {
    let rows = if found == 1 { "row" } else { "rows" };
    Failure::bad_input(format!(
        "{wanted} clusters were asked for, and there are only {found} different {rows}: ask for at most {found} clusters"
    ))
}

#[cfg(test)]
#[path = "kmeans_tests.rs"]
mod tests;
