//! A worker's part in queries that run on several workers: the ways to the others, and what answers them here.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as Poller, Poll};

use arrow::array::RecordBatch;
use datafusion_distributed::grpc::{BoxCloneSyncChannel, create_worker_client};
use datafusion_distributed::{ChannelResolver, Worker, WorkerChannel};
use shardmill_common::failure::Failure;
use shardmill_common::ids::ObjectId;
use shardmill_common::manifest::ShardEntry;
use shardmill_common::schema::Schema;
use shardmill_sql::{
    EngineError, ShardFile, ShardSource, SourceError, Sources, SqlError, Team, environment, panics, query_runtime,
    query_worker,
};
use tokio::runtime::{Handle, Runtime};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Interceptor;
use tonic::{Request, Status};
use tower::{Service, ServiceExt};
use url::Url;

use super::bridge::{to_batch, to_frame};
use crate::fetch::{Fetcher, Where};
use crate::shard::{conform, deletions};

/// Tables of fewer bytes are read by one worker.
const SMALL: u64 = 8 << 20;
/// What a failure of another worker is told behind, in text: the way back has no other words.
const TOLD: &str = "shardmill failure ";

/// Where parts of queries run, if there are any.
pub struct Queries {
    fetch: Arc<Fetcher>,
    url: String,
    /// Bytes that all parts may hold together; what does not fit goes to the worker's folder for such.
    memory: u64,
    threads: usize,
    parts: Mutex<Option<Arc<Parts>>>,
}

/// Parts of queries, on threads of their own: shards go on being served meanwhile.
struct Parts {
    worker: Worker,
    ways: Arc<dyn ChannelResolver + Send + Sync>,
    runtime: Option<Runtime>,
}

impl Parts {
    fn on(&self) -> Option<&Handle> {
        self.runtime.as_ref().map(Runtime::handle)
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        // What still runs is of no use to anybody.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Queries {
    pub fn new(fetch: Arc<Fetcher>, url: String, memory: u64, threads: usize) -> Self {
        Self { fetch, url, memory, threads, parts: Mutex::default() }
    }

    /// Made for the first query that needs it: most commands start a worker that answers none.
    fn parts(&self) -> Result<Arc<Parts>, SqlError> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(parts) = &*parts {
            return Ok(parts.clone());
        }
        let environment = environment(self.memory, self.fetch.store.layout.tmp())?;
        let ways: Arc<dyn ChannelResolver + Send + Sync> = Arc::new(Ways(self.fetch.clone()));
        let worker = query_worker(environment, Arc::new(Elsewhere(self.fetch.clone())), ways.clone());
        let made = Arc::new(Parts { worker, ways, runtime: Some(query_runtime(self.threads)?) });
        Ok(parts.insert(made).clone())
    }

    /// What answers other workers.
    pub fn service(self: &Arc<Self>) -> impl Answers + use<> {
        let queries = self.clone();
        OnRuntime(move || {
            let parts = queries.parts().map_err(|e| Status::internal(e.to_string()))?;
            let on = parts.on().cloned().ok_or_else(|| Status::unavailable("this worker is ending"))?;
            Ok((parts.worker.clone().into_worker_server(), on))
        })
    }

    /// The workers that hold these shards, and this one. `None` where it is alone.
    pub fn team<'a>(
        &self,
        place: &Where,
        shards: impl Iterator<Item = &'a ShardEntry>,
    ) -> Result<Option<Team>, SqlError> {
        let Ok(own) = Url::parse(&self.url) else { return Ok(None) };
        let mut urls = vec![own.clone()];
        let mut holders: HashMap<ObjectId, Vec<usize>> = HashMap::new();
        let known: HashMap<ObjectId, &Vec<_>> = place.holders.iter().map(|(id, workers)| (*id, workers)).collect();
        for shard in shards {
            let of_shard = known.get(&shard.object.id).map_or(&[][..], |workers| workers.as_slice());
            let mut found = Vec::with_capacity(of_shard.len());
            for url in of_shard.iter().filter_map(|worker| Url::parse(place.url(*worker)?).ok()) {
                let at = urls.iter().position(|u| *u == url).unwrap_or_else(|| {
                    urls.push(url);
                    urls.len() - 1
                });
                found.push(at);
            }
            holders.insert(shard.object.id, found);
        }
        if urls.len() < 2 {
            return Ok(None);
        }
        let parts = self.parts()?;
        let local = parts.worker.to_local_worker_context(own);
        Ok(Some(Team { urls, holders, channels: parts.ways.clone(), local, small: SMALL }))
    }
}

/// The ways to other workers, which say who calls. They live as long as the worker, whichever query made them.
struct Ways(Arc<Fetcher>);

impl Ways {
    fn channel(&self, url: &Url) -> Result<BoxCloneSyncChannel, Status> {
        let text = url.as_str().trim_end_matches('/');
        let channel = self.0.channel(text).map_err(|e| Status::unavailable(e.to_string()))?;
        let said = self.0.token().call(Request::new(()))?.metadata().clone().into_headers();
        let with_token = channel.map_request(move |mut request: http::Request<Body>| {
            request.headers_mut().extend(said.clone());
            request
        });
        Ok(BoxCloneSyncChannel::new(with_token))
    }
}

#[tonic::async_trait]
impl ChannelResolver for Ways {
    async fn get_worker_client_for_url(&self, url: &Url) -> Result<Box<dyn WorkerChannel>, EngineError> {
        match self.channel(url) {
            Ok(channel) => Ok(create_worker_client(channel)),
            Err(why) => Err(EngineError::External(Box::new(why))),
        }
    }
}

/// What a gRPC service is made of.
pub trait Answers:
    Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible, Future: Send>
    + NamedService
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Answers for S where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible, Future: Send>
        + NamedService
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// A service that is had when it is called, whose calls run elsewhere than those of its server.
#[derive(Clone)]
struct OnRuntime<F>(F);

impl<F, S> Service<http::Request<Body>> for OnRuntime<F>
where
    F: Fn() -> Result<(S, Handle), Status>,
    S: Answers,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Poller<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let before = panics();
        let (service, on) = match self.0() {
            Ok(found) => found,
            Err(why) => return Box::pin(std::future::ready(Ok(why.into_http()))),
        };
        let answer = on.spawn(service.oneshot(request));
        Box::pin(async move {
            match answer.await {
                Ok(answer) => answer.map(|answer| answer.map(|body| Body::new(Believed { body, panics: before }))),
                Err(e) => Ok(Status::internal(format!("a part of a query broke: {e}")).into_http()),
            }
        })
    }
}

/// What is answered, but not its good end if there was a panic meanwhile: a part that panicked gives no more rows, and no error.
struct Believed {
    body: Body,
    panics: u64,
}

impl http_body::Body for Believed {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        poller: &mut Poller<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Self::Data>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(poller);
        let ends = match &polled {
            Poll::Ready(Some(Ok(frame))) => frame.is_trailers(),
            Poll::Ready(None) => true,
            _ => false,
        };
        if ends && panics() != self.panics {
            // Said once.
            self.panics = panics();
            return Poll::Ready(Some(Err(Status::internal("a part of the query broke"))));
        }
        polled
    }
}

impl<F, S> NamedService for OnRuntime<F>
where
    F: Fn() -> Result<(S, Handle), Status>,
    S: NamedService,
{
    const NAME: &'static str = S::NAME;
}

/// What is done before a shard is opened.
pub type Opening = Arc<dyn Fn(&ShardEntry) -> Result<(), Failure> + Send + Sync>;

/// Shards from the nearest good copy.
#[derive(Clone)]
pub struct Shards {
    pub fetch: Arc<Fetcher>,
    pub place: Where,
    /// Called for every shard that is opened; an error keeps it shut.
    pub opening: Option<Opening>,
}

impl fmt::Debug for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shards")
    }
}

impl Shards {
    fn open(&self, shard: &ShardEntry) -> Result<ShardFile, Failure> {
        if let Some(opening) = &self.opening {
            opening(shard)?;
        }
        let data = self.fetch.object(&shard.object, &self.place)?;
        let dropped = deletions(&self.fetch, &self.place, shard)?;
        Ok(ShardFile { data, dropped })
    }
}

fn widened(rows: &RecordBatch, schema: &Schema) -> Result<RecordBatch, Failure> {
    to_batch(&conform(to_frame(rows)?, schema, None)?)
}

impl ShardSource for Shards {
    fn open(&self, shard: &ShardEntry) -> Result<ShardFile, SourceError> {
        Shards::open(self, shard).map_err(SourceError::new)
    }

    fn place(&self, shards: &[ShardEntry]) -> String {
        let wanted: HashSet<ObjectId> = shards.iter().flat_map(|shard| shard.objects().map(|o| o.id)).collect();
        let holders = self.place.holders.iter().filter(|(id, _)| wanted.contains(id)).cloned().collect();
        // Ids and addresses are text in any case; without them, what is not here is not found.
        serde_json::to_string(&Where { holders, peers: self.place.peers.clone() }).unwrap_or_default()
    }

    fn widen(&self, rows: RecordBatch, schema: &Schema) -> Result<RecordBatch, SourceError> {
        widened(&rows, schema).map_err(SourceError::new)
    }
}

/// The same for queries that another worker leads, to which failures go as text.
#[derive(Debug)]
struct Told(Shards);

#[derive(Debug, thiserror::Error)]
#[error("{TOLD}{0}")]
struct Text(String);

fn told(failure: Failure) -> SourceError {
    SourceError::new(Text(serde_json::to_string(&failure).unwrap_or_else(|_| failure.to_string())))
}

/// The failure that another worker told, if it is one.
pub fn failure_in(text: &str) -> Option<Failure> {
    let (_, json) = text.split_once(TOLD)?;
    let mut values = serde_json::Deserializer::from_str(json).into_iter();
    values.next()?.ok()
}

impl ShardSource for Told {
    fn open(&self, shard: &ShardEntry) -> Result<ShardFile, SourceError> {
        self.0.open(shard).map_err(told)
    }

    fn place(&self, shards: &[ShardEntry]) -> String {
        self.0.place(shards)
    }

    fn widen(&self, rows: RecordBatch, schema: &Schema) -> Result<RecordBatch, SourceError> {
        widened(&rows, schema).map_err(told)
    }
}

/// Makes sources for them.
struct Elsewhere(Arc<Fetcher>);

impl fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Elsewhere")
    }
}

impl Sources for Elsewhere {
    fn at(&self, place: &str) -> Option<Arc<dyn ShardSource>> {
        let place = serde_json::from_str(place).ok()?;
        Some(Arc::new(Told(Shards { fetch: self.0.clone(), place, opening: None })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers with nothing, after a panic of a thread that computes or without one.
    #[derive(Clone)]
    struct Empty {
        panics: bool,
    }

    impl Service<http::Request<Body>> for Empty {
        type Response = http::Response<Body>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<http::Response<Body>, Infallible>>;

        fn poll_ready(&mut self, _: &mut Poller<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: http::Request<Body>) -> Self::Future {
            if self.panics {
                let thread = std::thread::Builder::new().name("query".into());
                assert!(thread.spawn(|| panic!("a panic that a test wants")).unwrap().join().is_err());
            }
            std::future::ready(Ok(http::Response::new(Body::empty())))
        }
    }

    impl NamedService for Empty {
        const NAME: &'static str = "empty";
    }

    #[test]
    fn an_answer_during_which_there_was_a_panic_does_not_end_well() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let end = |panics: bool| {
            let on = runtime.handle().clone();
            let mut service = OnRuntime(move || Ok((Empty { panics }, on.clone())));
            runtime.block_on(async {
                let answer = service.call(http::Request::new(Body::empty())).await.unwrap();
                let mut body = answer.into_body();
                std::future::poll_fn(|poller| http_body::Body::poll_frame(Pin::new(&mut body), poller)).await
            })
        };
        assert!(end(false).is_none());
        let told = end(true).unwrap().unwrap_err();
        assert!(told.to_string().contains("a part of the query broke"), "{told}");
    }

    #[test]
    fn failures_come_back_as_they_were() {
        let failure = Failure::ObjectUnavailable {
            object: ObjectId::fresh(),
            bad_copies: vec![shardmill_common::ids::WorkerId::fresh()],
            message: "the copy is \"damaged\"".into(),
        };
        let text = format!("External error: {}, and more", told(failure.clone()));
        assert_eq!(failure_in(&text), Some(failure));
        assert_eq!(failure_in("External error: transport error"), None);
    }
}
