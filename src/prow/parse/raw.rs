//! The parts of Prow's JSON that we read, borrowed from the input. Each field takes any JSON value: what is
//! not of the expected kind counts as absent, and what we do not read is skipped without being built.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{
        Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer},
    },
};
use serde_json::value::RawValue;

/// No ProwJob is shorter, in bytes: it has a name, a job and a type.
const SHORTEST: usize = 48;
/// So many elements may be shorter, each of which is an error with its place.
const FEW: usize = 64;

/// How many elements there can be in so many bytes.
pub(super) fn most_in(bytes: usize) -> usize {
    FEW + bytes / SHORTEST
}

/// A ProwJob (<https://github.com/kubernetes-sigs/prow/blob/main/pkg/apis/prowjobs/v1/types.go>).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ProwJob<'a> {
    #[serde(borrow)]
    pub(crate) metadata: Maybe<Metadata<'a>>,
    #[serde(borrow)]
    pub(crate) spec: Maybe<Spec<'a>>,
    #[serde(borrow)]
    pub(crate) status: Maybe<Status<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Metadata<'a> {
    #[serde(borrow)]
    pub(crate) name: Text<'a>,
    #[serde(borrow)]
    pub(crate) creation_timestamp: Text<'a>,
    #[serde(borrow)]
    pub(crate) labels: Maybe<Entries<'a>>,
    #[serde(borrow)]
    pub(crate) annotations: Maybe<Entries<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_field_names, reason = "the names are Prow's")]
pub(crate) struct Spec<'a> {
    #[serde(borrow)]
    pub(crate) r#type: Text<'a>,
    #[serde(borrow)]
    pub(crate) agent: Text<'a>,
    #[serde(borrow)]
    pub(crate) cluster: Text<'a>,
    #[serde(borrow)]
    pub(crate) job: Text<'a>,
    #[serde(borrow)]
    pub(crate) refs: Maybe<Refs<'a>>,
    #[serde(borrow)]
    pub(crate) namespace: Text<'a>,
    #[serde(borrow)]
    pub(crate) pod_spec: Maybe<PodSpec<'a>>,
    #[serde(borrow)]
    pub(crate) decoration_config: Maybe<Decoration<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PodSpec<'a> {
    #[serde(borrow)]
    pub(crate) containers: Each<Container<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Container<'a> {
    #[serde(borrow)]
    pub(crate) name: Text<'a>,
    #[serde(borrow)]
    pub(crate) image: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Decoration<'a> {
    #[serde(borrow)]
    pub(crate) gcs_configuration: Maybe<Gcs<'a>>,
}

/// `gcs_configuration`, which is of S3 and files as well.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Gcs<'a> {
    #[serde(borrow)]
    pub(crate) bucket: Text<'a>,
    #[serde(borrow)]
    pub(crate) path_prefix: Text<'a>,
    #[serde(borrow)]
    pub(crate) path_strategy: Text<'a>,
    #[serde(borrow)]
    pub(crate) default_org: Text<'a>,
    #[serde(borrow)]
    pub(crate) default_repo: Text<'a>,
    #[serde(borrow)]
    pub(crate) job_url_prefix: Text<'a>,
    #[serde(borrow)]
    pub(crate) local_output_dir: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Refs<'a> {
    #[serde(borrow)]
    pub(crate) org: Text<'a>,
    #[serde(borrow)]
    pub(crate) repo: Text<'a>,
    #[serde(borrow)]
    pub(crate) repo_link: Text<'a>,
    #[serde(borrow)]
    pub(crate) base_ref: Text<'a>,
    #[serde(borrow)]
    pub(crate) base_sha: Text<'a>,
    #[serde(borrow)]
    pub(crate) base_link: Text<'a>,
    #[serde(borrow)]
    pub(crate) pulls: First<Pull<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Pull<'a> {
    #[serde(borrow)]
    pub(crate) number: Text<'a>,
    #[serde(borrow)]
    pub(crate) author: Text<'a>,
    #[serde(borrow)]
    pub(crate) sha: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Status<'a> {
    #[serde(borrow, rename = "startTime")]
    pub(crate) start_time: Text<'a>,
    #[serde(borrow, rename = "pendingTime")]
    pub(crate) pending_time: Text<'a>,
    #[serde(borrow, rename = "completionTime")]
    pub(crate) completion_time: Text<'a>,
    #[serde(borrow)]
    pub(crate) state: Text<'a>,
    #[serde(borrow)]
    pub(crate) description: Text<'a>,
    #[serde(borrow)]
    pub(crate) url: Text<'a>,
    #[serde(borrow)]
    pub(crate) build_id: Text<'a>,
}

/// What a body may be at its top: a list, a watch event, or a ProwJob.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Envelope<'a> {
    #[serde(borrow)]
    pub(crate) items: Items<'a>,
    #[serde(borrow)]
    pub(crate) r#type: Text<'a>,
    #[serde(borrow)]
    pub(crate) object: Option<&'a RawValue>,
}

/// A scalar as text.
#[derive(Debug, Default)]
pub(crate) struct Text<'a>(Option<Cow<'a, str>>);

impl Text<'_> {
    /// The text; `None` for null, an empty text, an object or a list.
    pub(crate) fn get(&self) -> Option<&str> {
        self.0.as_deref().filter(|text| !text.is_empty())
    }

    pub(crate) fn owned(self) -> Option<String> {
        self.0.filter(|text| !text.is_empty()).map(Cow::into_owned)
    }
}

/// An object, if it is one.
#[derive(Debug)]
pub(crate) struct Maybe<T>(pub(crate) Option<T>);

/// The first element of a list, if it is a list and the element an object.
#[derive(Debug)]
pub(crate) struct First<T>(pub(crate) Option<T>);

/// The elements of a list that are objects, if it is a list.
#[derive(Debug)]
pub(crate) struct Each<T>(pub(crate) Vec<T>);

/// The elements of a list, unread. Go writes an empty list as null; any other kind counts as absent.
#[derive(Debug, Default)]
pub(crate) struct Items<'a>(pub(crate) Option<Vec<&'a RawValue>>);

/// Elements of a list, no more of them than ProwJobs fit in: a body that nobody has signed for yet is to take no more
/// memory than it is long.
struct Fitting<'a>(Vec<&'a RawValue>);

/// Entries of an object whose values are scalars, in the order of the input; the others are dropped.
#[derive(Debug, Default)]
pub(crate) struct Entries<'a>(pub(crate) Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<T> Default for Maybe<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Default for First<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Default for Each<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor).map(Self)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Maybe<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(ObjectVisitor(PhantomData))
            .map(Self)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for First<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let head: Option<Head<T>> = deserializer.deserialize_any(ListVisitor(None))?;
        Ok(Self(head.and_then(|head| head.0)))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Each<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read: Option<Vec<Maybe<T>>> = deserializer.deserialize_any(ListVisitor(None))?;
        let elements = read.unwrap_or_default();
        Ok(Self(
            elements
                .into_iter()
                .filter_map(|element| element.0)
                .collect(),
        ))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let none = Some(Fitting(Vec::new()));
        let items = deserializer.deserialize_any(ListVisitor(none))?;
        Ok(Self(items.map(|items| items.0)))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fitting<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(FittingVisitor).map(Self)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor).map(Self)
    }
}

/// Scalars other than texts mean "not of the expected kind".
macro_rules! scalars_are_absent {
    () => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("anything")
        }
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok(None)
        }
    };
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Option<T>;

    scalars_are_absent!();

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        skip_list(seq).map(|()| None)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Some)
    }
}

/// Reads a list; holds what null stands for.
struct ListVisitor<T>(Option<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = Option<T>;

    scalars_are_absent!();

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(self.0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        T::deserialize(SeqAccessDeserializer::new(seq)).map(Some)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        skip_object(map).map(|()| None)
    }
}

/// First element of a list that is one.
struct Head<T>(Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Head<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_seq(HeadVisitor(PhantomData))
            .map(Self)
    }
}

struct HeadVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for HeadVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let first = seq.next_element::<Maybe<T>>()?.and_then(|first| first.0);
        skip_list(seq).map(|()| first)
    }
}

struct FittingVisitor;

impl<'de> Visitor<'de> for FittingVisitor {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let (mut items, mut length) = (Vec::new(), 0);
        while let Some(item) = seq.next_element::<&'de RawValue>()? {
            items.push(item);
            length += item.get().len();
            if items.len() > most_in(length) {
                return Err(A::Error::custom("more elements than ProwJobs fit in"));
            }
        }
        Ok(items)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Vec<(Cow<'de, str>, Cow<'de, str>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::with_capacity(16);
        while let Some((key, value)) = map.next_entry::<Text<'de>, Text<'de>>()? {
            if let (Some(key), Some(value)) = (key.0, value.0) {
                entries.push((key, value));
            }
        }
        Ok(entries)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(if value { "true" } else { "false" })))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(value.to_string())))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(value.to_string())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(value.to_string())))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        skip_list(seq).map(|()| None)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        skip_object(map).map(|()| None)
    }
}

/// Reads past the rest of a list. Its elements are skipped without recursion, however deep they go.
fn skip_list<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

/// Reads past the rest of an object, as [`skip_list`] does.
fn skip_object<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}
