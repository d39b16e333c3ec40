//! stub
use crate::schema::catalog::Definition;
use crate::schema::change::Altered;
use crate::schema::mapping::TargetFeatures;
use crate::schema::target::TargetTable;
use serde::{Deserialize, Serialize};
pub enum Effect {
    Nothing,
    Alter(Vec<TargetChange>),
    Copy(String),
}
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetChange {
    Drop(String),
}
pub fn effect(
    _old: &Definition,
    _altered: &Altered,
    _is_strict: bool,
    _zero: bool,
    _target: &TargetTable,
    _features: TargetFeatures,
) -> Effect {
    Effect::Nothing
}
impl TargetTable {
    pub fn after(&self, _changes: &[TargetChange]) -> TargetTable {
        self.clone()
    }
}
