//! Clusters by k-means: centres sown by k-means||, then moved by Lloyd's rounds.

use shardmill_common::failure::Failure;
use shardmill_common::model::{Encoder, KMeansOptions, KMeansParameters, Model, Parameters, Scaling, TrainSpec};

use crate::jobs::train::base::{misfit, places};
use crate::jobs::train::family::{Accepted, Answers, Ask, Course, Family, Learning, Learns, Ready, State, Trained};
use crate::jobs::train::unfit::{TrainUnfit, not_negative, not_zero};
use crate::train::{Clustered, KMeans, scalings};

impl Family for KMeansOptions {
    fn title(&self) -> &'static str {
        "k-means"
    }

    fn learns(&self) -> Learns {
        Learns::Clusters(self.clusters)
    }

    fn course(&self) -> Course {
        Course::Rounds(self.max_iter)
    }

    fn check(&self, _spec: &TrainSpec) -> Result<(), TrainUnfit> {
        not_zero("--clusters", self.clusters)?;
        not_zero("--seeding-rounds", self.seeding_rounds)?;
        not_zero("--max-iter", self.max_iter)?;
        not_negative("--tol", self.tol)
    }

    fn check_base(&self, spec: &TrainSpec, _base: &Model) -> Result<(), TrainUnfit> {
        if spec.update.is_some() {
            return Err(TrainUnfit::KMeansUpdate);
        }
        Ok(())
    }

    fn begin(&self, ready: Ready<'_>) -> Result<State, Failure> {
        let Ready { spec, input, whole, built, prepared } = ready;
        if whole.rows < u64::from(self.clusters) {
            return Err(Failure::bad_input(format!(
                "{} clusters were asked for, and {} has only {} rows",
                self.clusters,
                input.reference(),
                whole.rows
            )));
        }
        Ok(State::KMeans(Box::new(match &spec.base {
            Some(from) => {
                let centers = centers(from, &prepared.encoder, self.clusters)?;
                KMeans::from_centers(self.clone(), centers, &built.variances)
            }
            None => KMeans::new(self.clone(), spec.seed, &built.variances),
        })))
    }

    fn not_converged(&self, rounds: usize, gradient: f64) -> String {
        format!(
            "the centres still moved after {rounds} rounds (by {gradient:.1e} of the variance): raise --max-iter, or --tol"
        )
    }
}

impl Learning for KMeans {
    fn ask(&self) -> Ask {
        Ask::Round(self.request())
    }

    fn accept(&mut self, answers: Answers<'_>) -> Result<Accepted, Failure> {
        let (told, done) = self.accept(answers.learnt(Some)?)?;
        Ok(Accepted { told, trained: done.map(trained) })
    }
}

fn trained(found: Clustered) -> Trained {
    let Clustered { centers, inertia, sizes, converged } = found;
    let parameters = Parameters::KMeans(KMeansParameters { centers, inertia, sizes });
    Trained { converged, ..Trained::at_once(parameters, "lloyd") }
}

/// The base's centres, as the encoder sees them.
fn centers(base: &Model, encoder: &Encoder, clusters: u32) -> Result<Vec<Vec<f64>>, Failure> {
    let Parameters::KMeans(KMeansParameters { centers, .. }) = &base.parameters else { return Err(misfit(base)) };
    if centers.len() != clusters as usize {
        return Err(Failure::bad_input(format!(
            "a warm start needs as many clusters: {} has {}, and {clusters} were asked for",
            base.reference(),
            centers.len()
        )));
    }
    let places = places(base, encoder)?;
    let (theirs, ours) = (scalings(&base.features), scalings(encoder));
    if centers.iter().any(|c| c.len() != theirs.len()) {
        return Err(misfit(base));
    }
    let moved = |center: &Vec<f64>| {
        let of = |(place, our): (&usize, &Scaling)| {
            let their = theirs[*place];
            if their == *our {
                center[*place]
            } else {
                (center[*place] * their.scale + their.mean - our.mean) / our.scale
            }
        };
        places.iter().zip(&ours).map(of).collect()
    };
    Ok(centers.iter().map(moved).collect())
}
