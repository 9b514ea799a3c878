//! Lists by the page: `?limit=&cursor=` in, `{ "items": [...], "next": "..." }` and a `Link` header (RFC 8288) out. A
//! cursor is opaque to clients, and good for the list that gave it alone.

use axum::Json;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderValue, header};
use sameroom_engine::Page;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;

/// How many a page has when nothing is said.
const LIMIT: u16 = 50;
/// How many it has at most.
const LIMIT_MAX: u16 = 200;

/// Which page.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Paging {
    /// How many items at most.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub(crate) limit: Option<u16>,
    /// Where to go on: `next` of the page before.
    #[serde(default)]
    pub(crate) cursor: Option<String>,
}

/// A page of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct List<T> {
    /// What is on it.
    pub(crate) items: Vec<T>,
    /// The cursor of the page that follows; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// A list's page, as it is answered.
#[derive(Debug)]
pub(crate) struct Listed<T> {
    list: List<T>,
    limit: u16,
}

impl Paging {
    /// What to ask the engine: how many, after which. `list` names the list and what it was filtered by.
    pub(crate) fn read(&self, list: &str) -> Result<(usize, Option<String>), Problem> {
        let limit = self.limit()?;
        let after = self.cursor.as_deref().map(|cursor| open(list, cursor)).transpose()?;
        Ok((usize::from(limit), after))
    }

    /// The answer, from the engine's page.
    pub(crate) fn answer<T, U>(&self, list: &str, page: Page<T>, show: impl FnMut(T) -> U) -> Listed<U> {
        let next = page.next.map(|next| seal(list, &next));
        let items = page.items.into_iter().map(show).collect();
        Listed { list: List { items, next }, limit: self.limit.unwrap_or(LIMIT) }
    }

    fn limit(&self) -> Result<u16, Problem> {
        let limit = self.limit.unwrap_or(LIMIT);
        if (1..=LIMIT_MAX).contains(&limit) {
            return Ok(limit);
        }
        Err(Problem::parameter("limit", format!("limit is a number from 1 to {LIMIT_MAX}.")))
    }
}

/// Makes pages of what the engine tells as a whole, or by the item: `items` begin after the cursor.
pub(crate) fn cut<T>(mut items: Vec<T>, limit: usize, key: impl Fn(&T) -> String) -> Page<T> {
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(key);
    Page { items, next }
}

impl<T: Serialize> IntoResponse for Listed<T> {
    fn into_response(self) -> Response {
        let Self { list, limit } = self;
        let next = list.next.clone();
        let mut response = Json(list).into_response();
        if let Some(next) = next {
            // Relative to the list; a filter of the query has to be given again with it.
            let link = format!("<?limit={limit}&cursor={next}>; rel=\"next\"");
            if let Ok(link) = HeaderValue::from_str(&link) {
                response.headers_mut().insert(header::LINK, link);
            }
        }
        response
    }
}

fn seal(list: &str, after: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{list}\n{after}"))
}

fn open(list: &str, cursor: &str) -> Result<String, Problem> {
    let clear = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let after = clear.as_deref().and_then(|text| text.rsplit_once('\n')).filter(|(of, _)| *of == list);
    after.map(|(_, after)| after.to_owned()).ok_or_else(|| {
        Problem::parameter("cursor", "This cursor is not of this list. Begin again without one, and follow `next`.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_round_and_is_good_for_its_list_alone() {
        let cursor = seal("tubes", "abc/1");
        assert_eq!(open("tubes", &cursor).unwrap(), "abc/1");
        assert!(open("portals", &cursor).is_err());
        for bad in ["", "%%", "x", "dHViZXM"] {
            assert!(open("tubes", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_page_is_cut_where_there_is_more() {
        let page = cut(vec![1, 2, 3], 2, ToString::to_string);
        assert_eq!((page.items, page.next.as_deref()), (vec![1, 2], Some("2")));
        assert_eq!(cut(vec![1, 2], 2, ToString::to_string).next, None);
    }

    #[test]
    fn a_limit_is_from_1_to_200() {
        let of = |limit| Paging { limit: Some(limit), cursor: None }.read("x");
        assert!(of(0).is_err() && of(201).is_err());
        assert_eq!(of(200).unwrap().0, 200);
    }
}
