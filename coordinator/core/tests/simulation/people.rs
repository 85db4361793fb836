//! People in the simulation: they set aliases, make and change endpoints, rename datasets and count requests, and expect that
//! what they were told stays so.

use std::collections::BTreeMap;

use rand::Rng;
use shardmill_common::endpoint::{Counted, EndpointChange, Variant, Watched};
use shardmill_common::watch::Tally;
use shardmill_core::{Answer, Command, Core};

use super::world::Sim;

/// What people were told.
#[derive(Default)]
pub struct People {
    /// Aliases of the model, with the versions they point at.
    aliases: BTreeMap<String, u32>,
    /// Endpoints, with the weight of their first variant.
    endpoints: BTreeMap<String, f64>,
    /// What a dataset that nobody works with is called now.
    renamed: Option<String>,
    /// A change that nobody knows of whether it took place: what it is about is not expected to be anything.
    unsure: bool,
}

const NAMES: [&str; 2] = ["x", "y"];

impl People {
    /// What they were told is still so.
    pub fn check(&mut self, core: &Core) {
        if std::mem::take(&mut self.unsure) {
            *self = Self::default();
            return;
        }
        for (alias, version) in &self.aliases {
            let model = core.registry().find(&format!("m@{alias}").parse().unwrap()).expect("the alias is gone");
            assert_eq!(model.version, *version, "{alias} points elsewhere");
        }
        for (name, weight) in &self.endpoints {
            let endpoint = core.endpoints().find(&name.parse().unwrap()).expect("the endpoint is gone");
            assert_eq!(endpoint.variants[0].weight, *weight, "{name} has other weights");
        }
        if let Some(name) = &self.renamed {
            core.catalog().find(&name.parse().unwrap()).expect("the dataset is called otherwise");
        }
    }
}

impl Sim {
    /// Now and then somebody asks for something.
    pub fn people_ask(&mut self) {
        if !self.rng.random_ratio(1, 8) {
            return;
        }
        let pick = self.rng.random_range(0..5);
        let name = NAMES[self.rng.random_range(0..2)].to_owned();
        let weight = f64::from(self.rng.random_range(1..100));
        let model = "m".parse().unwrap();
        self.people.unsure = true;
        match pick {
            0 => {
                let command = Command::SetAlias { model, alias: name.clone(), version: Some(1) };
                if let Ok(Answer::Done) = self.command(command) {
                    self.people.aliases.insert(name, 1);
                }
            }
            1 => {
                let variant = Variant { name: "a".into(), model: "m@1".parse().unwrap(), weight };
                let change = EndpointChange { variants: Some(vec![variant]), ..Default::default() };
                let command = match self.core.endpoints().find(&name.parse().unwrap()) {
                    Ok(_) => Command::UpdateEndpoint { name: name.parse().unwrap(), change },
                    Err(_) => Command::CreateEndpoint { name: name.parse().unwrap(), change },
                };
                if let Ok(Answer::Endpoint(_)) = self.command(command) {
                    self.people.endpoints.insert(name, weight);
                }
            }
            2 => {
                let command = Command::RemoveEndpoint(name.parse().unwrap());
                if let Ok(Answer::Endpoint(_)) = self.command(command) {
                    self.people.endpoints.remove(&name);
                }
            }
            3 => {
                let other = if name == "x" { "y" } else { "x" };
                let command = Command::Rename { from: name.parse().unwrap(), to: other.parse().unwrap() };
                if let Ok(Answer::Done) = self.command(command) {
                    self.people.renamed = Some(other.to_owned());
                }
            }
            _ => {
                let tally = Tally { requests: 1, ..Default::default() };
                let watched = Watched { variant: "a".into(), model: "m@1".parse().unwrap(), tally };
                let _ = self.command(Command::Counted(vec![Counted { endpoint: name.parse().unwrap(), watched }]));
            }
        }
        self.people.unsure = false;
    }
}
