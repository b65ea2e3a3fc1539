//! The group that an image is in, and the groups that its snapshots belong to: a part of its public face.
//!
//! Owns: the words of the calls. Does not own: groups (`group/`).
use super::Image;
use crate::compiled_here;
use crate::group::Groups;
use crate::objects::header::Header;
use crate::objects::pools::in_pool;
use crate::{ErrorKind, OpenOptions, Result};
use lsd_core::format::header::SnapNamespace;
use lsd_store::PoolId;

/// A group by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupName {
    /// Number of its pool.
    pub pool: i64,
    pub name: String,
}

impl Image {
    /// The group that it is in now, if it is in one that is there.
    #[compiled_here]
    pub async fn group(&self) -> Result<Option<GroupName>> {
        self.session.check_open()?;
        let Some(group) = Header::read(&self.session.objects).await?.group else { return Ok(None) };
        match self.groups(group.pool).await {
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            groups => match groups?.name_of(&group.group).await {
                Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
                name => Ok(Some(GroupName { pool: group.pool, name: name? })),
            },
        }
    }

    /// The group and the name of its snapshot that a snapshot of this image is a part of. `Invalid`: it is no part of one; `NotFound`: the
    /// group is gone.
    #[compiled_here]
    pub async fn group_snapshot(&self, namespace: &SnapNamespace) -> Result<(GroupName, String)> {
        let SnapNamespace::Group { pool, group, group_snapshot } = namespace else {
            return Err(crate::api::error::invalid("the snapshot is no part of a group's"));
        };
        let groups = self.groups(*pool).await?;
        let name = groups.name_of(group).await?;
        let snapshot = groups.snapshot_name(group, group_snapshot).await?;
        Ok((GroupName { pool: *pool, name }, snapshot))
    }

    async fn groups(&self, pool: i64) -> Result<Groups> {
        Ok(Groups::new(in_pool(&self.session.objects.meta, PoolId(pool)).await?, OpenOptions::default()))
    }
}
