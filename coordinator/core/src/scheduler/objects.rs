//! Which objects exist, where, and who refers to them. An object that nobody refers to is deleted.

use std::collections::{BTreeMap, BTreeSet};

use shardmill_common::ids::{ObjectId, WorkerId};
use shardmill_common::manifest::ObjectRef;

#[derive(Clone, Debug, Default)]
pub struct Object {
    pub holders: BTreeSet<WorkerId>,
    /// Known once a manifest or a job names it.
    pub reference: Option<ObjectRef>,
    /// Copies wanted: the most that any published version asks for.
    pub wanted: u32,
    /// Published versions that have it.
    pub published: u32,
    /// Live jobs that read or made it.
    pub used_by_jobs: u32,
}

impl Object {
    pub fn is_referred_to(&self) -> bool {
        self.published > 0 || self.used_by_jobs > 0
    }
}

/// The table of objects.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    table: BTreeMap<ObjectId, Object>,
}

impl Objects {
    pub fn get(&self, id: ObjectId) -> Option<&Object> {
        self.table.get(&id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (ObjectId, &Object)> {
        self.table.iter().map(|(id, o)| (*id, o))
    }

    pub fn holders(&self, id: ObjectId) -> impl Iterator<Item = WorkerId> + '_ {
        self.table.get(&id).into_iter().flat_map(|o| o.holders.iter().copied())
    }

    pub fn is_at(&self, id: ObjectId, worker: WorkerId) -> bool {
        self.table.get(&id).is_some_and(|o| o.holders.contains(&worker))
    }

    pub fn add_holder(&mut self, id: ObjectId, worker: WorkerId) {
        self.table.entry(id).or_default().holders.insert(worker);
    }

    pub fn remove_holder(&mut self, id: ObjectId, worker: WorkerId) {
        if let Some(object) = self.table.get_mut(&id) {
            object.holders.remove(&worker);
        }
    }

    pub fn use_by_job(&mut self, reference: &ObjectRef) {
        let object = self.table.entry(reference.id).or_default();
        object.used_by_jobs += 1;
        object.reference.get_or_insert_with(|| reference.clone());
    }

    pub fn release_by_job(&mut self, id: ObjectId) {
        if let Some(object) = self.table.get_mut(&id) {
            object.used_by_jobs = object.used_by_jobs.saturating_sub(1);
        }
    }

    pub fn publish(&mut self, reference: &ObjectRef, replicas: u32) {
        let object = self.table.entry(reference.id).or_default();
        object.published += 1;
        object.wanted = object.wanted.max(replicas);
        object.reference.get_or_insert_with(|| reference.clone());
    }

    pub fn unpublish(&mut self, id: ObjectId) {
        if let Some(object) = self.table.get_mut(&id) {
            object.published = object.published.saturating_sub(1);
            if object.published == 0 {
                object.wanted = 0;
            }
        }
    }

    /// Takes the object out of the table if nobody refers to it; its holders should delete it.
    pub fn take_if_unused(&mut self, id: ObjectId) -> Vec<WorkerId> {
        match self.table.get(&id) {
            Some(object) if !object.is_referred_to() => {
                self.table.remove(&id).map(|o| o.holders.into_iter().collect()).unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }
}
