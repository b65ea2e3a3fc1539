//! The contract of the object store, on a replicated pool and on an erasure-coded one without overwrites.
mod common;

use lsd_store::contract;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread")]
async fn replicated_pool() {
    let Some(store) = common::store("replicated_pool", common::POOL) else { return };
    assert!(store.limits().keyed_objects);
    assert_eq!(store.limits().append_alignment, 1);
    contract::run_all(store, &common::prefix("replicated")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients() {
    let Some(one) = common::store("two_clients", common::POOL) else { return };
    let Some(two) = common::store("two_clients", common::POOL) else { return };
    contract::run_two_clients(one, two, &common::prefix("two")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn erasure_coded_pool() {
    let Some(store) = common::store("erasure_coded_pool", common::EC_POOL) else { return };
    assert!(!store.limits().keyed_objects);
    assert_eq!(store.limits().append_alignment, 8192);
    contract::run_without_keys(store, &common::prefix("ec")).await;
}

/// In a namespace and through a context that a C caller handed over.
#[tokio::test(flavor = "multi_thread")]
async fn namespace() {
    let Some(io) = common::pool("namespace", common::POOL) else { return };
    let io = io.with_namespace("a namespace").expect("any text is a namespace");
    let store = lsd_rados::RadosStore::new(io, tokio::runtime::Handle::current()).expect("a store in it");
    contract::run_all(Arc::new(store), &common::prefix("namespace")).await;
}
