//! A value of whatever form, as it stands in a row.

use rusqlite::types::{FromSql, FromSqlResult, ValueRef};
use tokio_postgres::types::Type;

use super::{
    error::Cause,
    value::{Cell, FromColumn, Param, Value},
};

/// A value of whatever form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) enum Any {
    Null,
    Integer(i64),
    Text(String),
}

impl Param for Any {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Integer(number) => Value::Integer(*number),
            Self::Text(text) => Value::Text(text),
        }
    }
}

impl FromSql for Any {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Ok(match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Integer(number),
            other => Self::Text(other.as_str()?.to_owned()),
        })
    }
}

impl FromColumn for Any {
    fn from_cell(cell: Cell<'_>) -> Result<Self, Cause> {
        if cell.is_null() {
            return Ok(Self::Null);
        }
        match cell.form {
            Type::INT8 | Type::INT4 | Type::BOOL => i64::from_cell(cell).map(Self::Integer),
            _ => String::from_cell(cell).map(Self::Text),
        }
    }
}
