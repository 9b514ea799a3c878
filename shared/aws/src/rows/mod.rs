//! Rows in one table of DynamoDB: reads, all of them consistent. How a row is written as items is told in [`item`], how
//! writes are made in [`write`]. It must not know what is in a row.

pub(crate) mod item;
mod plan;
mod write;

use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, ConsumedCapacity, ReturnConsumedCapacity};
use futures_util::future::try_join_all;
use sameroom_engine::ports::{Clock, Key, Row, Unavailable};

use crate::trouble::Call;
use crate::{Calls, Clients, Settings};
use item::{Head, Item};

/// How often a row in parts is read anew, when others write it meanwhile.
const REREADS: usize = 10;
/// No page has more rows than this, so that a query for few rows reads few.
const PAGE_MAX: usize = 1000;

/// A table of rows.
pub(crate) struct Rows {
    dynamo: Client,
    table: String,
    clock: Arc<dyn Clock>,
    calls: Calls,
    measure: bool,
}

impl Rows {
    pub(crate) fn new(clients: &Clients, settings: &Settings, clock: Arc<dyn Clock>) -> Self {
        Self {
            dynamo: clients.dynamo.clone(),
            table: settings.table.clone(),
            clock,
            calls: clients.calls().clone(),
            measure: settings.measure,
        }
    }

    /// See [`Store::get`](sameroom_engine::ports::Store::get).
    pub(crate) async fn get(&self, key: &Key) -> Result<Option<Row>, Unavailable> {
        item::check(key)?;
        let Some(item) = self.item(item::row_key(key)).await? else { return Ok(None) };
        let head = item::read(item).ok_or_else(|| damaged(key))?;
        self.row(&key.partition, head).await
    }

    /// See [`Store::query`](sameroom_engine::ports::Store::query).
    pub(crate) async fn query(
        &self,
        partition: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Row)>, Unavailable> {
        let from = after.filter(|after| *after > prefix).unwrap_or(prefix);
        let (low, high) = (item::sort(from), item::above(&item::sort(prefix)));
        let mut rows = Vec::new();
        let mut start: Option<Item> = None;
        // The bounds are included where they are asked for, and above they are not wanted.
        while rows.len() < limit && low < high {
            let page = (limit - rows.len()).saturating_add(2).min(PAGE_MAX);
            let (items, next) = self.page(partition, &low, &high, start.take(), page).await?;
            for found in items {
                let key = || Key { partition: partition.to_owned(), sort: "?".to_owned() };
                let head = item::read(found).ok_or_else(|| damaged(&key()))?;
                let wanted = head.sort.starts_with(prefix) && after.is_none_or(|after| head.sort.as_str() > after);
                let sort = head.sort.clone();
                if wanted && let Some(row) = self.row(partition, head).await? {
                    rows.push((sort, row));
                }
            }
            match next {
                Some(next) => start = Some(next),
                None => break,
            }
        }
        rows.truncate(limit);
        Ok(rows)
    }

    async fn page(
        &self,
        partition: &str,
        low: &str,
        high: &str,
        start: Option<Item>,
        limit: usize,
    ) -> Result<(Vec<Item>, Option<Item>), Unavailable> {
        let query = self
            .dynamo
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("p = :p AND s BETWEEN :low AND :high")
            .expression_attribute_values(":p", AttributeValue::S(item::partition(partition)))
            .expression_attribute_values(":low", AttributeValue::S(low.to_owned()))
            .expression_attribute_values(":high", AttributeValue::S(high.to_owned()))
            .limit(limit as i32)
            .set_exclusive_start_key(start)
            .set_return_consumed_capacity(self.asks());
        let page = query.send().await.map_err(|e| self.call("DynamoDB Query").failed(&e))?;
        self.calls.read(page.consumed_capacity.as_slice());
        Ok((page.items.unwrap_or_default(), page.last_evaluated_key.filter(|key| !key.is_empty())))
    }

    async fn item(&self, key: Item) -> Result<Option<Item>, Unavailable> {
        let get = self.dynamo.get_item().table_name(&self.table).set_key(Some(key)).consistent_read(true);
        let answer = get.set_return_consumed_capacity(self.asks()).send().await;
        let answer = answer.map_err(|e| self.call("DynamoDB GetItem").failed(&e))?;
        self.calls.read(answer.consumed_capacity.as_slice());
        Ok(answer.item)
    }

    /// A row whole, if it lives. Its parts may be written meanwhile: then it is read anew.
    async fn row(&self, partition: &str, mut head: Head) -> Result<Option<Row>, Unavailable> {
        let key = Key { partition: partition.to_owned(), sort: head.sort.clone() };
        for _ in 0..REREADS {
            if !head.lives(self.clock.now()) {
                return Ok(None);
            }
            if head.parts == 0 {
                return Ok(Some(Row { body: head.body, version: head.version }));
            }
            let parts = (0..head.parts.min(item::PARTS_MAX)).map(|part| self.item(item::part_key(&key, part)));
            let parts: Option<Vec<_>> =
                try_join_all(parts).await?.into_iter().map(|part| part.and_then(item::read_part)).collect();
            if let Some(parts) = parts
                && parts.iter().all(|(version, _)| *version == head.version)
            {
                let body = parts.into_iter().flat_map(|(_, piece)| piece).collect();
                return Ok(Some(Row { body, version: head.version }));
            }
            let Some(item) = self.item(item::row_key(&key)).await? else { return Ok(None) };
            head = item::read(item).ok_or_else(|| damaged(&key))?;
        }
        Err(Unavailable::new(format_args!(
            "a row of {} bytes or more was written all the time it was read",
            item::PART
        )))
    }

    fn asks(&self) -> Option<ReturnConsumedCapacity> {
        self.measure.then_some(ReturnConsumedCapacity::Total)
    }

    fn wrote(&self, consumed: &[ConsumedCapacity]) {
        self.calls.written(consumed);
    }

    fn call(&self, name: &'static str) -> Call<'_> {
        Call { name, on: &self.table }
    }
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").field("table", &self.table).finish_non_exhaustive()
    }
}

fn damaged(key: &Key) -> Unavailable {
    Unavailable::new(format_args!(
        "an item of the partition {} can't be read as a row: another program or a newer version of Sameroom wrote it",
        key.partition
    ))
}
