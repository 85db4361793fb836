//! A connection to a cluster.

use shardmill_client::Client;

pub struct Session {
    pub client: Client,
    /// Workers read source files by path: they are in this process.
    pub local_files: bool,
}
