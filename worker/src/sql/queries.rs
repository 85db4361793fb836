//! A worker's part in queries that run on several workers: the ways to the others, and what answers them here.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll};

use arrow::array::RecordBatch;
use datafusion_distributed::grpc::{BoxCloneSyncChannel, create_worker_client};
use datafusion_distributed::{ChannelResolver, Worker, WorkerChannel};
use serde::{Deserialize, Serialize};
use shardmill_common::failure::Failure;
use shardmill_common::ids::ObjectId;
use shardmill_common::manifest::ShardEntry;
use shardmill_common::schema::Schema;
use shardmill_sql::{
    EngineError, ShardFile, ShardSource, SourceError, Sources, SqlError, Team, environment, panics, query_worker,
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
/// Expressions of plans are walked recursively; untouched pages of a stack cost nothing.
const STACK: usize = 64 << 20;
/// What a failure of another worker is told behind, in text: the way back has no other words.
const TOLD: &str = "shardmill failure ";

/// Parts of queries, on threads of their own: shards go on being served meanwhile.
pub struct Queries {
    worker: Worker,
    ways: Arc<dyn ChannelResolver + Send + Sync>,
    runtime: Option<Runtime>,
    url: String,
}

impl Queries {
    /// All parts together may hold so many bytes; what does not fit goes to the worker's folder for such.
    pub fn new(fetch: Arc<Fetcher>, url: String, memory: u64, threads: usize) -> Result<Self, SqlError> {
        // From here on panics are counted.
        panics();
        let environment = environment(memory, fetch.store.layout.tmp())?;
        let ways: Arc<dyn ChannelResolver + Send + Sync> = Arc::new(Ways(fetch.clone()));
        let worker = query_worker(environment, Arc::new(Elsewhere(fetch.clone())), ways.clone());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("queries")
            .thread_stack_size(STACK)
            .enable_all()
            .build()
            .map_err(|e| SqlError::Engine(format!("no threads for queries: {e}")))?;
        Ok(Self { worker, ways, runtime: Some(runtime), url })
    }

    /// What answers other workers.
    pub fn service(&self) -> Option<OnRuntime<impl Answers>> {
        let handle = self.runtime.as_ref()?.handle().clone();
        Some(OnRuntime { inner: self.worker.clone().into_worker_server(), handle })
    }

    /// The workers that hold these shards, and this one. `None` where it is alone.
    pub fn team<'a>(&self, place: &Where, shards: impl Iterator<Item = &'a ShardEntry>) -> Option<Team> {
        let own = Url::parse(&self.url).ok()?;
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
            return None;
        }
        let local = self.worker.to_local_worker_context(own);
        Some(Team { urls, holders, channels: self.ways.clone(), local, small: SMALL })
    }
}

impl Drop for Queries {
    fn drop(&mut self) {
        // What still runs is of no use to anybody.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
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

/// A service whose calls run elsewhere than those of its server.
#[derive(Clone)]
pub struct OnRuntime<S> {
    inner: S,
    handle: Handle,
}

impl<S: Answers> Service<http::Request<Body>> for OnRuntime<S> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, poller: &mut Poller<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(poller)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let before = panics();
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        let answer = self.handle.spawn(async move { inner.call(request).await });
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

impl<S: NamedService> NamedService for OnRuntime<S> {
    const NAME: &'static str = S::NAME;
}

/// What is done before a shard is opened.
pub type Opening = Arc<dyn Fn(&ShardEntry) -> Result<(), Failure> + Send + Sync>;

/// Shards from the nearest good copy.
#[derive(Clone)]
pub struct Shards {
    pub fetch: Arc<Fetcher>,
    pub place: Where,
    /// Called with the rows and bytes of every shard that is opened; an error keeps it shut.
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

/// Those of [`Where`] that some shards need.
#[derive(Serialize, Deserialize)]
struct Place {
    holders: Vec<(ObjectId, Vec<shardmill_common::ids::WorkerId>)>,
    peers: Vec<shardmill_common::task::Peer>,
}

impl ShardSource for Shards {
    fn open(&self, shard: &ShardEntry) -> Result<ShardFile, SourceError> {
        Shards::open(self, shard).map_err(SourceError::new)
    }

    fn place(&self, shards: &[ShardEntry]) -> String {
        let wanted: std::collections::HashSet<ObjectId> =
            shards.iter().flat_map(|shard| shard.objects().map(|object| object.id)).collect();
        let holders = self.place.holders.iter().filter(|(id, _)| wanted.contains(id)).cloned().collect();
        // Ids and addresses are text in any case; without them, what is not here is not found.
        serde_json::to_string(&Place { holders, peers: self.place.peers.clone() }).unwrap_or_default()
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
        let Place { holders, peers } = serde_json::from_str(place).ok()?;
        let place = Where { holders, peers };
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
                let thread = std::thread::Builder::new().name("queries".into());
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
            let mut service = OnRuntime { inner: Empty { panics }, handle: runtime.handle().clone() };
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
