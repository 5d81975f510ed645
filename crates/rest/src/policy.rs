//! A policy in JSON: shown, read and described setting by setting, as the table of settings has them.

use std::borrow::Cow;

use calmesh_app::{Edit, PolicyEdit, limits::TEXT_MOST};
use calmesh_calendar::{
    Policy,
    policy::{GROUPS, Group, Kind, Setting, Value},
};
use serde::{Serialize, Serializer, ser::SerializeMap};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        KnownFormat, Ref, RefOr, SchemaFormat,
        schema::{ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type},
    },
};

use crate::body::{Fields, boolean, text, whole};

// ---- shown ------------------------------------------------------------------------------------------------------

/// How a feed is judged, as it is in force.
#[derive(Debug)]
pub(crate) struct PolicyJson(pub(crate) Policy);

impl Serialize for PolicyJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        for group in &GROUPS {
            let settings = Settings(group.settings, &self.0);
            match group.name {
                Some(name) => object.serialize_entry(name, &settings)?,
                None => settings.into(&mut object)?,
            }
        }
        object.end()
    }
}

/// Settings of one object and what they are set to.
struct Settings<'a>(&'static [Setting], &'a Policy);

impl Settings<'_> {
    fn into<M: SerializeMap>(self, object: &mut M) -> Result<(), M::Error> {
        self.0.iter().try_for_each(|setting| match setting.get(self.1) {
            None => object.serialize_entry(setting.name(), &()),
            Some(Value::Flag(flag)) => object.serialize_entry(setting.name(), &flag),
            Some(Value::Figure(figure)) => object.serialize_entry(setting.name(), &figure),
            Some(Value::Word(word)) => object.serialize_entry(setting.name(), &word),
        })
    }
}

impl Serialize for Settings<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(self.0.len()))?;
        Settings(self.0, self.1).into(&mut object)?;
        object.end()
    }
}

// ---- read -------------------------------------------------------------------------------------------------------

/// What an object says of a policy. Whether it is in range, the use case says.
pub(crate) fn policy_fields(fields: &mut Fields) -> PolicyEdit {
    let mut settings = Vec::new();
    for group in &GROUPS {
        let read = |fields: &mut Fields| group.settings.iter().map(|setting| read(fields, setting)).collect();
        let said = match group.name {
            Some(name) => fields.object(name, read),
            None => Edit::To(read(fields)),
        };
        let said: Vec<Edit<Value>> = match said {
            Edit::Keep => continue,
            // A null object puts each of its settings back.
            Edit::Reset => vec![Edit::Reset; group.settings.len()],
            Edit::To(said) => said,
        };
        settings.extend(group.settings.iter().zip(said));
    }
    PolicyEdit { reset: false, settings }
}

fn read(fields: &mut Fields, setting: &Setting) -> Edit<Value> {
    fields.edit(setting.name(), |value| match setting.kind {
        Kind::Flag => boolean(value).map(Value::Flag),
        Kind::Figure { .. } => whole(u32::MAX)(value).map(Value::Figure),
        Kind::Word { .. } => text(TEXT_MOST)(value).map(Value::Word),
    })
}

// ---- described --------------------------------------------------------------------------------------------------

/// The schema of an edit.
pub(crate) struct PolicyEditSchema;

/// Which of the two schemas of a policy.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As it is in force: all of it is there.
    Whole,
    /// What of it is changed: any of it may be left out, or be null for its default.
    Edit,
}

impl Form {
    /// `Policy`, `HoldPolicy`, `MassVanishPolicyEdit`.
    fn name(self, group: &Group) -> String {
        let mut name = String::new();
        for word in group.name.into_iter().flat_map(|name| name.split('_')) {
            let mut letters = word.chars();
            name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
            name.push_str(letters.as_str());
        }
        name + if self == Self::Whole { "Policy" } else { "PolicyEdit" }
    }

    fn object(self, group: &Group) -> ObjectBuilder {
        group
            .settings
            .iter()
            .fold(ObjectBuilder::new(), |object, setting| self.member(object, setting.name(), self.setting(setting)))
    }

    fn member(self, object: ObjectBuilder, name: &str, schema: impl Into<RefOr<Schema>>) -> ObjectBuilder {
        let object = object.property(name, schema);
        if self == Self::Whole { object.required(name) } else { object }
    }

    fn setting(self, setting: &Setting) -> ObjectBuilder {
        let schema = ObjectBuilder::new();
        let (schema, kind) = match setting.kind {
            Kind::Flag => (schema, Type::Boolean),
            Kind::Figure { least, most } => {
                let int32 = SchemaFormat::KnownFormat(KnownFormat::Int32);
                let schema = schema.minimum(Some(f64::from(least))).maximum(Some(f64::from(most)));
                (schema.format(Some(int32)), Type::Integer)
            }
            Kind::Word { most } => (schema.min_length(Some(1)).max_length(Some(most)), Type::String),
        };
        let may_be_null = self == Self::Edit || matches!(setting.kind, Kind::Word { .. });
        let kind = if may_be_null { SchemaType::from_iter([kind, Type::Null]) } else { kind.into() };
        schema.schema_type(kind).description((!setting.about.is_empty()).then_some(setting.about))
    }

    fn schema(self) -> ObjectBuilder {
        GROUPS.iter().fold(ObjectBuilder::new(), |object, group| {
            let Some(name) = group.name else { return self.object(group) };
            let inner = Ref::from_schema_name(self.name(group));
            match self {
                Self::Whole => self.member(object, name, inner),
                Self::Edit => {
                    let null = ObjectBuilder::new().schema_type(Type::Null);
                    self.member(object, name, OneOfBuilder::new().item(inner).item(null))
                }
            }
        })
    }

    fn inner(self) -> impl Iterator<Item = (String, RefOr<Schema>)> {
        let groups = GROUPS.iter().filter(|group| group.name.is_some());
        groups.map(move |group| (self.name(group), self.object(group).into()))
    }
}

impl PartialSchema for PolicyJson {
    fn schema() -> RefOr<Schema> {
        let about = "How a feed is judged; each value defaults from the profile.";
        Form::Whole.schema().description(Some(about)).into()
    }
}

impl ToSchema for PolicyJson {
    fn name() -> Cow<'static, str> {
        "Policy".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.extend(Form::Whole.inner());
    }
}

impl PartialSchema for PolicyEditSchema {
    fn schema() -> RefOr<Schema> {
        Form::Edit.schema().into()
    }
}

impl ToSchema for PolicyEditSchema {
    fn name() -> Cow<'static, str> {
        "PolicyEdit".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.extend(Form::Edit.inner());
    }
}
