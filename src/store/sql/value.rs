//! Values on their way into a statement and out of a row.

use std::{borrow::Cow, fmt};

use bytes::BytesMut;
use rusqlite::types::{FromSql, ToSqlOutput, ValueRef};
use tokio_postgres::types::{self as postgres, IsNull, Type, to_sql_checked};

use super::error::{Cause, Error, Result};

/// A value, borrowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::store) enum Value<'a> {
    Null,
    Integer(i64),
    Text(&'a str),
    /// Only PostgreSQL takes lists.
    Integers(&'a [i64]),
    /// Only PostgreSQL takes lists.
    Texts(&'a [String]),
}

/// A value, kept until it is sent.
#[derive(Debug)]
pub(super) enum Kept {
    Null,
    Integer(i64),
    Text(String),
    Integers(Vec<i64>),
    Texts(Vec<String>),
}

/// What can be a value of a statement. Numbers beyond what a database holds become the highest that it does.
pub(in crate::store) trait Param {
    /// It, as a value.
    fn value(&self) -> Value<'_>;
}

/// What can be read from a column.
pub(in crate::store) trait FromColumn: FromSql {
    /// Reads it from what PostgreSQL answered.
    fn from_cell(cell: Cell<'_>) -> std::result::Result<Self, Cause>;
}

/// A value for SQLite.
pub(super) struct Bound<'a>(pub(super) Value<'a>);

/// A column of an answer of PostgreSQL.
#[derive(Debug)]
pub(in crate::store) struct Cell<'a> {
    pub(super) form: Type,
    bytes: Option<&'a [u8]>,
}

/// A value is not of the form that the other side asks for.
#[derive(Debug)]
struct WrongForm(Type);

impl std::error::Error for WrongForm {}

impl fmt::Display for WrongForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value of type {} is not what was expected", self.0)
    }
}

impl Value<'_> {
    pub(super) fn keep(self) -> Kept {
        match self {
            Self::Null => Kept::Null,
            Self::Integer(number) => Kept::Integer(number),
            Self::Text(text) => Kept::Text(text.to_owned()),
            Self::Integers(list) => Kept::Integers(list.to_vec()),
            Self::Texts(list) => Kept::Texts(list.to_vec()),
        }
    }
}

impl Kept {
    pub(super) fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Integer(number) => Value::Integer(*number),
            Self::Text(text) => Value::Text(text),
            Self::Integers(list) => Value::Integers(list),
            Self::Texts(list) => Value::Texts(list),
        }
    }
}

impl rusqlite::ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let value = match self.0 {
            Value::Null => ValueRef::Null,
            Value::Integer(number) => ValueRef::Integer(number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Integers(_) | Value::Texts(_) => {
                let error = "SQLite takes no lists".into();
                return Err(rusqlite::Error::ToSqlConversionFailure(error));
            }
        };
        Ok(ToSqlOutput::Borrowed(value))
    }
}

impl postgres::ToSql for Value<'_> {
    fn to_sql(&self, form: &Type, out: &mut BytesMut) -> std::result::Result<IsNull, Cause> {
        match *self {
            Self::Null => return Ok(IsNull::Yes),
            Self::Integer(number) => match *form {
                Type::INT8 => number.to_sql(form, out)?,
                Type::INT4 => i32::try_from(number)?.to_sql(form, out)?,
                _ => return Err(Box::new(WrongForm(form.clone()))),
            },
            // It takes any text but one with this character, which no name or address has in good faith.
            Self::Text(text) if text.contains('\0') => {
                text.replace('\0', "\u{fffd}").to_sql(form, out)?
            }
            Self::Text(text) => text.to_sql(form, out)?,
            Self::Integers(list) => list.to_sql(form, out)?,
            Self::Texts(list) => {
                let clean: Vec<Cow<'_, str>> = list
                    .iter()
                    .map(|text| {
                        if text.contains('\0') {
                            Cow::Owned(text.replace('\0', "\u{fffd}"))
                        } else {
                            Cow::Borrowed(text.as_str())
                        }
                    })
                    .collect();
                clean.to_sql(form, out)?
            }
        };
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl<'a> postgres::FromSql<'a> for Cell<'a> {
    fn from_sql(form: &Type, bytes: &'a [u8]) -> std::result::Result<Self, Cause> {
        Ok(Self {
            form: form.clone(),
            bytes: Some(bytes),
        })
    }

    fn from_sql_null(form: &Type) -> std::result::Result<Self, Cause> {
        Ok(Self {
            form: form.clone(),
            bytes: None,
        })
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Reads a column of an answer of PostgreSQL.
pub(super) fn read<T: FromColumn>(row: &tokio_postgres::Row, column: usize) -> Result<T> {
    let cell: Cell<'_> = row.try_get(column)?;
    T::from_cell(cell).map_err(|cause| Error::unreadable(column, cause))
}

/// The bytes of a column.
pub(super) fn raw(row: &tokio_postgres::Row, column: usize) -> Result<Option<&[u8]>> {
    let cell: Cell<'_> = row.try_get(column)?;
    Ok(cell.bytes)
}

impl Cell<'_> {
    pub(super) fn is_null(&self) -> bool {
        self.bytes.is_none()
    }

    fn integer(&self) -> std::result::Result<i64, Cause> {
        let Some(bytes) = self.bytes else {
            return Err("a value is missing".into());
        };
        Ok(match self.form {
            Type::INT8 => i64::from_be_bytes(bytes.try_into()?),
            Type::INT4 => i32::from_be_bytes(bytes.try_into()?).into(),
            Type::BOOL => i64::from(bytes != [0]),
            _ => return Err(Box::new(WrongForm(self.form.clone()))),
        })
    }
}

macro_rules! integers {
    ($($form:ty),*) => {$(
        impl Param for $form {
            fn value(&self) -> Value<'_> {
                Value::Integer(i64::try_from(*self).unwrap_or(i64::MAX))
            }
        }

        impl FromColumn for $form {
            fn from_cell(cell: Cell<'_>) -> std::result::Result<Self, Cause> {
                Ok(Self::try_from(cell.integer()?)?)
            }
        }
    )*};
}

integers!(i64, u64, u32, usize);

impl Param for bool {
    fn value(&self) -> Value<'_> {
        Value::Integer(i64::from(*self))
    }
}

impl FromColumn for bool {
    fn from_cell(cell: Cell<'_>) -> std::result::Result<Self, Cause> {
        Ok(cell.integer()? != 0)
    }
}

impl Param for String {
    fn value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl FromColumn for String {
    fn from_cell(cell: Cell<'_>) -> std::result::Result<Self, Cause> {
        let bytes = cell.bytes.ok_or("a value is missing")?;
        Ok(Self::from_utf8(bytes.to_vec())?)
    }
}

impl Param for &str {
    fn value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl Param for &[i64] {
    fn value(&self) -> Value<'_> {
        Value::Integers(self)
    }
}

impl Param for Vec<i64> {
    fn value(&self) -> Value<'_> {
        Value::Integers(self)
    }
}

impl Param for Vec<String> {
    fn value(&self) -> Value<'_> {
        Value::Texts(self)
    }
}

impl<T: Param> Param for &T {
    fn value(&self) -> Value<'_> {
        T::value(self)
    }
}

impl<T: Param> Param for Option<T> {
    fn value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, Param::value)
    }
}

impl<T: FromColumn> FromColumn for Option<T> {
    fn from_cell(cell: Cell<'_>) -> std::result::Result<Self, Cause> {
        match cell.bytes {
            None => Ok(None),
            Some(_) => T::from_cell(cell).map(Some),
        }
    }
}
