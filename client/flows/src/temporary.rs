//! Datasets that live as long as the command that needs them.

use shardmill_client::{Client, ClientError};
use shardmill_common::failure::Refusal;
use shardmill_common::name::{DatasetName, DatasetRef, NameError};

use crate::error::FlowError;
use crate::host::Host;

/// Names that no other command uses, all of which are taken back in the end.
pub struct Temporary {
    prefix: String,
    names: Vec<DatasetName>,
}

impl Temporary {
    /// Of a command of this name.
    pub fn of(command: &str) -> Self {
        Self { prefix: format!("{command}.tmp-{}", uuid::Uuid::new_v4().simple()), names: Vec::new() }
    }

    /// A further name, which says what it is for.
    pub fn name(&mut self, what: &str) -> Result<DatasetName, FlowError> {
        let name: DatasetName = format!("{}.{}-{what}", self.prefix, self.names.len())
            .parse()
            .map_err(|e: NameError| FlowError::Name(e.into()))?;
        self.names.push(name.clone());
        Ok(name)
    }

    /// Takes back whatever of them there is, with their rejects; a failure of that does not spoil what was done.
    pub async fn remove(&self, host: &dyn Host, client: &Client) {
        for name in &self.names {
            for name in [name.clone(), name.rejects()] {
                match client.remove(&DatasetRef { name: name.clone(), version: None }).await {
                    Ok(_) | Err(ClientError::Refused(Refusal::NotFound(_))) => {}
                    Err(e) => {
                        host.notice(&format!("the temporary dataset {name} could not be removed: {e}"));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_one_command_only() {
        let (mut one, mut other) = (Temporary::of("predict"), Temporary::of("predict"));
        let (rows, file) = (one.name("rows").unwrap(), one.name("file").unwrap());
        assert!(rows.as_str().starts_with("predict.tmp-") && rows.as_str().ends_with(".0-rows"));
        assert!(rows != file && rows != other.name("rows").unwrap());
        // Two files of one command are two datasets.
        assert_ne!(one.name("file").unwrap(), file);
    }
}
