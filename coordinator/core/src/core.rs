//! The core: catalog, registry, endpoints, windows and scheduler as one state machine.

use std::collections::BTreeMap;

use shardmill_common::endpoint::{Endpoint, EndpointName};
use shardmill_common::failure::Refusal;
use shardmill_common::ids::JobId;
use shardmill_common::model::{Model, OnnxGraph};
use shardmill_common::name::{DatasetName, DatasetRef};
use shardmill_common::time::Timestamp;

use crate::catalog::Catalog;
use crate::command::{Answer, Command};
use crate::effect::Effect;
use crate::endpoints::Endpoints;
use crate::jobs::Publication;
use crate::registry::Registry;
use crate::rows::{Kept, Ledger, Store};
use crate::scheduler::{Action, Event, Scheduler, SchedulerOptions};
use crate::tables::{Counters, Finished, Records, TABLES, counter};
use crate::windows::Windows;

/// What comes of a command.
#[derive(Debug)]
pub struct Step {
    /// To be written first, all or nothing.
    pub rows: Ledger,
    /// To be done once the rows are on disk, in this order.
    pub effects: Vec<Effect>,
    /// To be told once the rows are on disk.
    pub answer: Result<Answer, Refusal>,
}

pub struct Core {
    pub(crate) catalog: Catalog,
    pub(crate) registry: Registry,
    pub(crate) endpoints: Endpoints,
    pub(crate) windows: Windows,
    pub(crate) scheduler: Scheduler,
    pub(crate) counters: Kept<Counters>,
    /// What jobs publish whose models' files are being written, with the model as it is numbered.
    pub(crate) held: BTreeMap<JobId, (Box<Publication>, Box<Model>)>,
    pub(crate) now: Timestamp,
    pub(crate) ledger: Ledger,
    pub(crate) effects: Vec<Effect>,
    /// In debug builds: all rows so far, to be compared with what is in memory.
    pub(crate) shadow: Option<Store>,
    pub(crate) steps: u64,
}

impl Core {
    /// A core without any rows.
    pub fn new(options: SchedulerOptions, epoch: u64) -> Self {
        Self {
            catalog: Catalog::default(),
            registry: Registry::default(),
            endpoints: Endpoints::default(),
            windows: Windows::new(epoch),
            scheduler: Scheduler::new(options, crate::jobs::next, epoch),
            counters: Kept::default(),
            held: BTreeMap::new(),
            now: Timestamp::default(),
            ledger: Ledger::default(),
            effects: Vec::new(),
            shadow: cfg!(debug_assertions).then(Store::default),
            steps: 0,
        }
    }

    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    pub fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.counters.get(&name.to_owned()).copied().unwrap_or_default()
    }

    pub(crate) fn count_up(&mut self, name: &str) -> u64 {
        let next = self.counter(name) + 1;
        self.counters.put(&mut self.ledger, name.to_owned(), next);
        next
    }

    /// The count of changes of endpoints.
    pub fn endpoint_revision(&self) -> u64 {
        self.counter(counter::ENDPOINTS)
    }

    /// Takes one command. A clock that is set back is believed in what is shown and counted; for waiting, time stands still.
    pub fn step(&mut self, now: Timestamp, command: Command) -> Step {
        self.now = now;
        let answer = self.take(command);
        let mut rows = std::mem::take(&mut self.ledger);
        rows.append(&mut self.scheduler.ledger);
        self.steps += 1;
        self.check_memory(&rows);
        Step { rows, effects: std::mem::take(&mut self.effects), answer }
    }

    fn take(&mut self, command: Command) -> Result<Answer, Refusal> {
        match command {
            Command::Event(event) => {
                let is_tick = matches!(event, Event::Tick);
                self.happened(event);
                if is_tick {
                    self.windows.due(&mut self.ledger, self.now);
                }
            }
            Command::Submit { submission, facts } => return self.submit(*submission, *facts).map(Answer::Job),
            Command::Cancel(id) => {
                if self.scheduler.job(id).is_some_and(|job| job.publishing) {
                    return Err(Refusal::Conflict(format!("job {id} is done already: it is being published")));
                }
                self.happened(Event::Cancel { job: id });
            }
            Command::Drain(worker) => {
                if self.scheduler.worker(worker).is_none() {
                    let known: Vec<String> = self.scheduler.workers().map(|w| w.id().to_string()).collect();
                    return Err(Refusal::NotFound(format!(
                        "there is no node {worker}; the nodes are {}",
                        if known.is_empty() { "none".to_owned() } else { known.join(", ") }
                    )));
                }
                self.happened(Event::Drain { worker });
            }
            Command::Rename { from, to } => {
                self.not_captured_into(&from)?;
                self.not_being_written(&from)?;
                self.not_being_written(&to)?;
                self.catalog.rename(&mut self.ledger, &from, &to)?;
            }
            Command::Remove(dataset) => return self.remove(&dataset).map(Answer::Datasets),
            Command::SetAlias { model, alias, version } => {
                let alias = shardmill_common::model::alias(&alias).map_err(Refusal::invalid)?;
                match version {
                    Some(version) => self.registry.alias(&mut self.ledger, &model, &alias, version)?,
                    None => self.registry.unalias(&mut self.ledger, &model, &alias)?,
                }
            }
            Command::Rollback { model, alias } => {
                return self.registry.rollback(&mut self.ledger, &model, &alias).map(Answer::Version);
            }
            Command::RemoveModel(model) => return self.remove_model(&model).map(Answer::Models),
            Command::CreateEndpoint { name, change } => {
                let (revision, ledger) = (self.endpoint_revision() + 1, &mut self.ledger);
                let made = self.endpoints.create(ledger, name, change, &self.registry, revision, self.now)?;
                return Ok(self.endpoints_changed(made));
            }
            Command::UpdateEndpoint { name, change } => {
                let (revision, ledger) = (self.endpoint_revision() + 1, &mut self.ledger);
                let made = self.endpoints.update(ledger, &name, change, &self.registry, revision, self.now)?;
                return Ok(self.endpoints_changed(made));
            }
            Command::RemoveEndpoint(name) => {
                let gone = self.endpoints.remove(&mut self.ledger, &name)?;
                return Ok(self.endpoints_changed(gone));
            }
            Command::Counted(counted) => self.windows.count(self.now, counted),
            Command::FlushWindows => self.windows.flush(&mut self.ledger, self.now),
            Command::ModelKept { job, version, problem } => self.model_kept(job, version, problem),
            Command::Sweep { jobs, records } => {
                jobs.iter().for_each(|job| self.ledger.remove::<Finished>(job));
                records.iter().for_each(|job| self.ledger.remove::<Records>(job));
                self.effects.push(Effect::RemoveLogs { jobs });
            }
        }
        Ok(Answer::Done)
    }

    /// Tells the scheduler, and does what follows.
    pub(crate) fn happened(&mut self, event: Event) {
        for action in self.scheduler.step(self.now.0, event) {
            match action {
                Action::Do(effect) => self.effects.push(effect),
                Action::Publish { job, publication } => self.publish(job, publication),
                Action::Ended { job, end } => self.ended(&job, end),
            }
        }
    }

    fn endpoints_changed(&mut self, endpoint: Endpoint) -> Answer {
        let revision = self.count_up(counter::ENDPOINTS);
        self.effects.push(Effect::Deploy { revision });
        Answer::Endpoint(Box::new(endpoint))
    }

    fn remove(&mut self, dataset: &DatasetRef) -> Result<Vec<DatasetRef>, Refusal> {
        self.not_being_written(&dataset.name)?;
        // An earlier version may go: those that follow have its rows.
        let latest = DatasetRef { name: dataset.name.clone(), version: None };
        if dataset.version.is_none() || self.catalog.find(&latest).is_ok_and(|m| m.reference() == *dataset) {
            self.not_captured_into(&dataset.name)?;
        }
        let removal = self.catalog.remove(&mut self.ledger, dataset)?;
        self.happened(Event::Unpublished { objects: removal.objects });
        Ok(removal.removed)
    }

    fn remove_model(
        &mut self,
        model: &shardmill_common::model::ModelRef,
    ) -> Result<Vec<shardmill_common::model::ModelRef>, Refusal> {
        let doomed = self.registry.removable(model)?;
        if let Some((endpoint, used)) = self.endpoints.user_of_model(&model.name, &doomed) {
            return Err(Refusal::Conflict(format!(
                "{used} answers requests to endpoint `{0}`: give that endpoint other variants first (`shardmill endpoint update {0} \
                 --variant ...`), or delete it",
                endpoint.name
            )));
        }
        let removal = self.registry.remove(&mut self.ledger, &model.name, &doomed);
        self.effects.extend(removal.jobs.into_iter().map(|job| Effect::RemoveModel { job }));
        self.remove_graphs(removal.graphs);
        Ok(removal.removed)
    }

    /// The graphs of models in the registry and of jobs under way.
    pub fn graphs_in_use(&self) -> impl Iterator<Item = &OnnxGraph> {
        self.registry.graphs().chain(self.scheduler.jobs().filter_map(|job| job.resolved.spec.graph()))
    }

    /// Has the files of those among these graphs removed that nothing refers to any more.
    pub(crate) fn remove_graphs(&mut self, mut digests: Vec<String>) {
        digests.retain(|digest| !self.graphs_in_use().any(|graph| graph.digest == *digest));
        if !digests.is_empty() {
            self.effects.push(Effect::RemoveGraphs { digests });
        }
    }

    /// Jobs under way that write this dataset, or read and write anything of its name.
    fn writer_of(&self, name: &DatasetName) -> Option<JobId> {
        self.scheduler
            .jobs()
            .find(|j| {
                j.resolved.spec.outputs().into_iter().any(|o| o == name || o.rejects() == *name || name.rejects() == *o)
            })
            .map(|j| j.id)
    }

    pub(crate) fn not_being_written(&self, name: &DatasetName) -> Result<(), Refusal> {
        match self.writer_of(name) {
            Some(job) => {
                Err(Refusal::Conflict(format!("`{name}` is being written by job {job}: wait for it, or cancel it")))
            }
            None => Ok(()),
        }
    }

    fn not_captured_into(&self, name: &EndpointName) -> Result<(), Refusal> {
        match self.endpoints.user_of_dataset(name) {
            Some(endpoint) => Err(Refusal::Conflict(format!(
                "endpoint `{0}` captures into `{name}`: end that first with `shardmill endpoint update {0} --no-capture`",
                endpoint.name
            ))),
            None => Ok(()),
        }
    }

    /// What lasts and is in memory, as rows: what a journal must hold.
    pub fn durable(&self) -> Store {
        let mut rows = Ledger::default();
        self.counters.dump(&mut rows);
        self.catalog.names.dump(&mut rows);
        self.catalog.taken.dump(&mut rows);
        self.catalog.versions.dump(&mut rows);
        self.registry.names.dump(&mut rows);
        self.registry.models.dump(&mut rows);
        self.registry.evaluations.dump(&mut rows);
        self.endpoints.all.dump(&mut rows);
        self.scheduler.dump(&mut rows);
        let mut store = Store::default();
        rows.writes.iter().for_each(|write| store.apply(write));
        store
    }

    /// In debug builds: what is in memory is what replaying the rows would give. Walks everything, so large states get it now
    /// and then.
    fn check_memory(&mut self, rows: &Ledger) {
        let Some(shadow) = &mut self.shadow else { return };
        rows.writes.iter().for_each(|write| shadow.apply(write));
        if !self.steps.is_multiple_of(1 + shadow.len() as u64 / 2) {
            return;
        }
        let in_memory: Vec<&str> = TABLES.iter().filter(|t| t.in_memory).map(|t| t.name).collect();
        let difference = shadow.only(&in_memory).difference(&self.durable());
        debug_assert_eq!(difference, None, "the journal and the memory differ");
    }
}
