//! What clients and nodes ask of the driver about endpoints.

use shardmill_common::endpoint::{
    Counted, Deployment, Endpoint, EndpointChange, EndpointName, EndpointStatus, ServingNode,
};
use shardmill_common::failure::Refusal;
use shardmill_common::message::ToWorker;
use shardmill_common::model::{Model, ModelRef};
use shardmill_common::time::Timestamp;
use tokio::sync::watch;

use super::Driver;
use crate::endpoints::EndpointWrite;
use crate::journal::{WindowReader, Write};

impl Driver {
    pub fn create_endpoint(&mut self, name: EndpointName, change: EndpointChange) -> Result<Endpoint, Refusal> {
        let (writes, endpoint) = self.endpoints.create(name, change, &self.registry, Timestamp::now())?;
        self.put_endpoints(writes);
        tracing::info!(endpoint = %endpoint.name, revision = endpoint.revision, "endpoint created");
        Ok(endpoint)
    }

    pub fn update_endpoint(&mut self, name: &EndpointName, change: EndpointChange) -> Result<Endpoint, Refusal> {
        let (writes, endpoint) = self.endpoints.update(name, change, &self.registry, Timestamp::now())?;
        self.put_endpoints(writes);
        tracing::info!(endpoint = %endpoint.name, revision = endpoint.revision, "endpoint changed");
        Ok(endpoint)
    }

    pub fn remove_endpoint(&mut self, name: &EndpointName) -> Result<Endpoint, Refusal> {
        let (write, endpoint) = self.endpoints.remove(name)?;
        self.put_endpoints(vec![write]);
        tracing::info!(endpoint = %name, "endpoint deleted");
        Ok(endpoint)
    }

    fn put_endpoints(&mut self, writes: Vec<EndpointWrite>) {
        for write in writes {
            self.writes.push(Write::Endpoint(write.clone()));
            self.endpoints.apply(write);
        }
        let revision = self.endpoints.revision();
        for worker in self.sessions.keys() {
            self.outbox.push((*worker, ToWorker::Deploy { revision }));
        }
        // Told once the change is on disk, as every reply is.
        let deployed = self.deployed.clone();
        self.replies.push(Box::new(move || {
            deployed.send_replace(revision);
        }));
    }

    /// The last change of endpoints that is on disk, now and whenever there is one.
    pub fn deployments(&self) -> watch::Receiver<u64> {
        self.deployed.subscribe()
    }

    /// What a node needs to serve all endpoints.
    pub fn deployment(&self) -> Deployment {
        let endpoints: Vec<Endpoint> = self.endpoints.all().cloned().collect();
        let mut wanted: Vec<_> = endpoints.iter().flat_map(|e| e.variants.iter().map(|v| &v.model)).collect();
        wanted.sort_by_key(|m| m.to_string());
        wanted.dedup();
        let models = wanted.into_iter().filter_map(|m| self.registry.find(m).ok());
        // The baseline is what requests are compared with.
        let models = models.map(|m| Model { baseline: m.baseline.clone(), ..m.lean() }).collect();
        Deployment { revision: self.endpoints.revision(), models, endpoints }
    }

    /// A node serves the endpoints as of a change.
    pub fn serves(&mut self, node: ServingNode) {
        self.serving.insert(node.node.clone(), node);
    }

    /// A node counted requests.
    pub fn counted(&mut self, counted: Vec<Counted>) {
        self.windows.count(Timestamp::now(), counted);
    }

    /// Gives the journal what was counted, now and then.
    pub(super) fn keep_windows(&mut self) {
        let due = self.windows.due(Timestamp::now());
        self.writes.extend(due.into_iter().map(Write::Window));
    }

    /// Gives the journal everything that was counted.
    pub(super) fn flush_windows(&mut self) {
        let all = self.windows.flush(Timestamp::now());
        self.writes.extend(all.into_iter().map(Write::Window));
    }

    /// What was counted; by the time of the answer the journal has all of it.
    pub fn watching(&mut self) -> WindowReader {
        self.flush_windows();
        self.journal.windows()
    }

    /// The models among these that there are.
    pub fn models_of(&self, references: &[ModelRef]) -> Vec<Model> {
        references.iter().filter_map(|model| self.registry.find(model).ok().cloned()).collect()
    }

    fn endpoint_status(&self, endpoint: &Endpoint) -> EndpointStatus {
        let nodes = self.serving.values().cloned().collect();
        EndpointStatus { endpoint: endpoint.clone(), nodes, watched: Vec::new() }
    }

    pub fn endpoint_list(&self) -> Vec<EndpointStatus> {
        self.endpoints.all().map(|e| self.endpoint_status(e)).collect()
    }

    /// An endpoint and where it is served; what was watched is for the caller to add.
    pub fn endpoint(&self, name: &EndpointName) -> Result<EndpointStatus, Refusal> {
        Ok(self.endpoint_status(self.endpoints.find(name)?))
    }
}
