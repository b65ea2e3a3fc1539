//! Which images are in a group.
//!
//! Owns: the order in which the group and the header of an image change, so that an image whose header names a group is always named
//! by that group, too, and is in no other. Does not own: the bytes (`object.rs`).
use super::object::GroupObject;
use crate::api::limits::GROUP_TRIES;
use crate::catalog::groups::is_there;
use crate::objects::Objects;
use crate::objects::header::Header;
use crate::objects::pools::in_pool;
use crate::ownership::watch;
use crate::recovery::open::{self, Found};
use crate::{Catalog, Error, ErrorKind, ImageId, ImageRef, Result};
use lsd_core::format::header::{GroupRef, MemberId, MemberRecord, MemberState, key};
use lsd_core::format::notice::Notice;
use lsd_store::{KvPresence, KvUpdate, ObjectStore, PoolId, StoreErrorKind};
use std::sync::Arc;

/// An image of a group, as its users see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupImage {
    pub id: ImageId,
    pub name: String,
    /// Number of the image's pool.
    pub pool: i64,
    /// False: it is on its way in or out, or was when somebody died; adding and removing it both work.
    pub is_attached: bool,
}

impl GroupObject {
    fn reference(&self) -> GroupRef {
        GroupRef { pool: self.store.pool_id().0, group: self.id.clone() }
    }

    /// First the group names the image as incomplete, then the image's header names the group, then the image is attached. One that is
    /// in the group already stays. `Exists`: it is in another.
    pub(super) async fn attach(&self, store: &Arc<dyn ObjectStore>, image: &ImageRef) -> Result<()> {
        let Found { header, objects } = open::find(store, image).await?;
        self.check_free(store, &header).await?;
        let id = MemberId { pool: store.pool_id().0, image: objects.id.0.clone() };
        if header.group.as_ref() == Some(&self.reference()) && self.has_attached(&id).await? {
            return Ok(());
        }
        let began = MemberRecord { id: id.clone(), state: MemberState::Incomplete };
        for _ in 0..GROUP_TRIES {
            self.put_member(&began).await?;
            if let Err(error) = self.name_in_header(store, &objects).await {
                // Of an image that another group has this group keeps nothing; where it is in doubt the entry stays.
                if matches!(error.kind, ErrorKind::Exists | ErrorKind::NotFound | ErrorKind::ReadOnly) {
                    self.drop_member(&id).await?;
                }
                return Err(error);
            }
            // Somebody else who takes the image out meanwhile has the last word, unless it did not see that the header says so again.
            if self.change_member(&began, &MemberRecord { state: MemberState::Attached, ..began.clone() }).await? {
                watch::notify(&objects, Notice::HeaderChanged).await;
                return Ok(());
            }
            if self.has_attached(&id).await? {
                return Ok(());
            }
        }
        Err(Error::new(ErrorKind::Busy, "somebody else adds the image to the group and takes it out"))
    }

    async fn has_attached(&self, id: &MemberId) -> Result<bool> {
        let members = self.read().await?.members;
        Ok(members.iter().any(|member| member.id == *id && member.state == MemberState::Attached))
    }

    /// `Exists`: the image is in another group that is there.
    async fn check_free(&self, store: &Arc<dyn ObjectStore>, header: &Header) -> Result<()> {
        match &header.group {
            Some(group) if *group != self.reference() && is_there(store, group).await? => {
                Err(Error::new(ErrorKind::Exists, format!("{}: the image is in another group", header.name)))
            }
            _ => Ok(()),
        }
    }

    /// The header of an image that is free, or names this group already. `ReadOnly`: it is the source of a migration.
    async fn name_in_header(&self, store: &Arc<dyn ObjectStore>, objects: &Objects) -> Result<()> {
        let object = objects.header();
        for _ in 0..GROUP_TRIES {
            let header = Header::read(objects).await?;
            self.check_free(store, &header).await?;
            if header.group.as_ref() == Some(&self.reference()) {
                return Ok(());
            }
            // Rule 38: who migrates an image leaves it in no group.
            header.check_writable()?;
            let migration = header.migration.map(|migration| migration.encode()).unwrap_or_default();
            // An image that is being removed is put into no group (`lifecycle/`).
            let before = header.group.map(|group| group.encode()).unwrap_or_default();
            let update = KvUpdate::default()
                .presence(KvPresence::MustExist)
                .expect(key::REMOVING, "")
                .expect(key::MIGRATION, migration)
                .expect(key::GROUP, before)
                .set(key::GROUP, self.reference().encode());
            match objects.meta.kv_update(&object, update).await {
                Err(error) if error.kind == StoreErrorKind::Stale => {}
                named => return Ok(named?),
            }
        }
        Err(Error::new(ErrorKind::Busy, format!("{object}: others change the image's group all the time")))
    }

    /// The other way round: incomplete, then the header, then the entry goes. An image that is not there any more, and one that is in no
    /// group, only lose the entry. `Io` with `EBADF`, as in librbd: it is in another group.
    pub(super) async fn detach(&self, store: &Arc<dyn ObjectStore>, id: &ImageId) -> Result<()> {
        let member = MemberId { pool: store.pool_id().0, image: id.0.clone() };
        let found = match open::find(store, &ImageRef::Id(id.clone())).await {
            Err(error) if error.kind == ErrorKind::NotFound => return self.drop_member(&member).await,
            found => found?,
        };
        match &found.header.group {
            Some(group) if *group == self.reference() => {}
            Some(_) if !self.read().await?.members.iter().any(|entry| entry.id == member) => {
                let reason = format!("{}: the image is in another group", found.header.name);
                return Err(Error::new(ErrorKind::Io { errno: nix::libc::EBADF }, reason));
            }
            _ => return self.drop_member(&member).await,
        }
        let attached = MemberRecord { id: member.clone(), state: MemberState::Attached };
        self.change_member(&attached, &MemberRecord { state: MemberState::Incomplete, ..attached.clone() }).await?;
        let update = KvUpdate::default()
            .presence(KvPresence::MustExist)
            .expect(key::GROUP, self.reference().encode())
            .remove(key::GROUP);
        match found.objects.meta.kv_update(&found.objects.header(), update).await {
            // Somebody else has done it, or the image is gone.
            Err(error) if matches!(error.kind, StoreErrorKind::Stale | StoreErrorKind::NotFound) => {}
            freed => freed?,
        }
        self.drop_member(&member).await?;
        watch::notify(&found.objects, Notice::HeaderChanged).await;
        Ok(())
    }

    /// The same for what the group names. A pool that is gone is no error.
    pub(super) async fn detach_member(&self, member: &MemberId) -> Result<()> {
        match in_pool(&self.store, PoolId(member.pool)).await {
            Err(error) if error.kind == ErrorKind::NotFound => self.drop_member(member).await,
            store => self.detach(&store?, &ImageId(member.image.clone())).await,
        }
    }

    /// Those that have a name, by pool and name: images in the trash are in the group and are not listed, as in librbd.
    pub(super) async fn images(&self) -> Result<Vec<GroupImage>> {
        let mut images = Vec::new();
        for MemberRecord { id, state } in self.read().await?.members {
            let name = async {
                let store = in_pool(&self.store, PoolId(id.pool)).await?;
                Catalog::new(store).name_of(&ImageId(id.image.clone())).await
            };
            let name = match name.await {
                Err(error) if error.kind == ErrorKind::NotFound => continue,
                name => name?,
            };
            let is_attached = state == MemberState::Attached;
            images.push(GroupImage { id: ImageId(id.image), name, pool: id.pool, is_attached });
        }
        images.sort_by(|one, other| (one.pool, &one.name).cmp(&(other.pool, &other.name)));
        Ok(images)
    }
}
