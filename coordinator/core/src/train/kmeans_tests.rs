//! k-means over points in memory.

use shardmill_common::model::{CentroidSums, Seeds};

use super::*;
use crate::train::random::Random;
use crate::train::testing::normal;

/// What workers do, by a hash of the seed, round, shard and row.
fn work(shard: u64, rows: &[Vec<f64>], learn: &Learn) -> Learnt {
    let nearest = |row: &[f64], centers: &[Packed]| {
        let mut best = (0, f64::INFINITY);
        for (n, c) in centers.iter().enumerate() {
            let d = distance(row, &c.0);
            if d < best.1 {
                best = (n, d);
            }
        }
        best
    };
    match learn {
        Learn::Seeds(ask) => {
            let mut seeds = Seeds { rows: rows.len() as u64, cost: 0.0, chosen: vec![] };
            for (n, row) in rows.iter().enumerate() {
                let key = ask.seed ^ u64::from(ask.round) << 50 ^ shard << 30 ^ n as u64;
                let random = Random::new(key).unit();
                let bits = (random * 2f64.powi(53)) as u64;
                if ask.centers.is_empty() {
                    let first = seeds.chosen.first().map_or(u64::MAX, |(r, _): &(u64, Packed)| *r);
                    if bits < first {
                        seeds.chosen = vec![(bits, Packed(row.clone()))];
                    }
                    continue;
                }
                let d = nearest(row, &ask.centers).1;
                seeds.cost += d;
                if random < ask.rate * d {
                    seeds.chosen.push((bits, Packed(row.clone())));
                }
            }
            Learnt::Seeds(seeds)
        }
        Learn::Centroids { centers } => {
            let width = centers[0].0.len();
            let mut sums = CentroidSums {
                counts: vec![0; centers.len()],
                sums: vec![Packed(vec![0.0; width]); centers.len()],
                inertia: 0.0,
                farthest: None,
            };
            for row in rows {
                let (c, d) = nearest(row, centers);
                sums.counts[c] += 1;
                sums.sums[c].0.iter_mut().zip(row.iter().zip(&centers[c].0)).for_each(|(s, (x, m))| *s += x - m);
                sums.inertia += d;
                if sums.farthest.as_ref().is_none_or(|(most, _)| d > *most) {
                    sums.farthest = Some((d, Packed(row.clone())));
                }
            }
            Learnt::Centroids(sums)
        }
        _ => unreachable!(),
    }
}

fn options(clusters: u32, tol: f64) -> KMeansOptions {
    KMeansOptions { clusters, max_iter: 300, tol, seeding_rounds: 3 }
}

fn run(mut kmeans: KMeans, rows: &[Vec<f64>]) -> Result<(Clustered, Vec<f64>), Failure> {
    let mut inertias = Vec::new();
    for _ in 0..1000 {
        let shards = rows.chunks(40).enumerate().map(|(n, rows)| work(n as u64, rows, &kmeans.request())).collect();
        let (told, done) = kmeans.accept(shards)?;
        kmeans = serde_json::from_str(&serde_json::to_string(&kmeans).unwrap()).unwrap();
        inertias.extend(told.map(|t| t.0));
        if let Some(done) = done {
            return Ok((done, inertias));
        }
    }
    panic!("no end");
}

fn blobs() -> Vec<Vec<f64>> {
    let mut random = Random::new(8);
    let middles = [[0.0, 0.0], [20.0, 0.0], [0.0, 20.0], [30.0, 30.0]];
    (0..400).map(|n| middles[n % 4].iter().map(|m| m + normal(&mut random)).collect()).collect()
}

fn variances(rows: &[Vec<f64>]) -> Vec<f64> {
    let n = rows.len() as f64;
    let mean = |j: usize| rows.iter().map(|r| r[j]).sum::<f64>() / n;
    (0..2).map(|j| rows.iter().map(|r| (r[j] - mean(j)).powi(2)).sum::<f64>() / n).collect()
}

#[test]
fn blobs_are_found() {
    let rows = blobs();
    for tol in [0.0, 1e-4] {
        let kmeans = KMeans::new(options(4, tol), 5, &variances(&rows));
        let (found, inertias) = run(kmeans, &rows).unwrap();
        assert!(found.converged);
        assert_eq!(found.sizes, [100; 4]);
        assert!(inertias.windows(2).all(|w| w[1] <= w[0] * (1.0 + 1e-12)), "{inertias:?}");
        let exact: f64 = (0..4)
            .map(|k| {
                let own: Vec<&Vec<f64>> = rows.iter().skip(k).step_by(4).collect();
                (0..2)
                    .map(|j| {
                        let mean = own.iter().map(|r| r[j]).sum::<f64>() / 100.0;
                        own.iter().map(|r| (r[j] - mean).powi(2)).sum::<f64>()
                    })
                    .sum::<f64>()
            })
            .sum();
        assert!((found.inertia / exact - 1.0).abs() < 1e-9, "{} {exact}", found.inertia);
    }
}

#[test]
fn an_empty_cluster_takes_the_farthest_row() {
    let rows = blobs();
    let centers = vec![vec![0.0, 0.0], vec![1e3, 1e3], vec![1e3, 1e3], vec![20.0, 0.0]];
    let (found, _) = run(KMeans::from_centers(options(4, 0.0), centers, &variances(&rows)), &rows).unwrap();
    assert!(found.sizes.iter().all(|n| *n > 0), "{:?}", found.sizes);
}

#[test]
fn one_cluster_is_the_mean_and_too_few_different_rows_are_refused() {
    let rows = blobs();
    let (found, _) = run(KMeans::new(options(1, 1e-4), 1, &variances(&rows)), &rows).unwrap();
    assert_eq!(found.sizes, [400]);
    let same: Vec<Vec<f64>> = (0..90).map(|n| vec![f64::from(n % 3), 0.0]).collect();
    let error = run(KMeans::new(options(4, 1e-4), 1, &variances(&same)), &same).unwrap_err().to_string();
    assert!(error.contains("only 3 different rows"), "{error}");
    let (found, _) = run(KMeans::new(options(3, 1e-4), 1, &variances(&same)), &same).unwrap();
    assert_eq!((found.inertia, found.sizes), (0.0, vec![30; 3]));
}
