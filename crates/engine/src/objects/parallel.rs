//! Store operations side by side, a bounded number at a time.
use crate::api::limits::PARALLEL_OPS;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};

/// Runs all and returns their results in order; ends at the first error.
pub(crate) async fn try_all<T: Send, E: Send>(operations: Vec<BoxFuture<'_, Result<T, E>>>) -> Result<Vec<T>, E> {
    stream::iter(operations).buffered(PARALLEL_OPS).try_collect().await
}

/// Runs all, whatever becomes of each, and returns every result in order.
pub(crate) async fn all<T: Send>(operations: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    stream::iter(operations).buffered(PARALLEL_OPS).collect().await
}
