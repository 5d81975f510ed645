//! The table, made. `infra/template.yaml` must match it.

use aws_sdk_dynamodb::{
    Client,
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection, ProjectionType,
        ScalarAttributeType, TableStatus, TimeToLiveSpecification,
    },
};
use calmesh_app::ports::StoreError;

use crate::{
    schema::{MARKS_INDEX, attr},
    table::refusal,
};

/// Makes the table, its index and its expiry if there is none of this name, and waits until it can be used.
/// For the embedded start and tests; in the cloud the template makes it.
///
/// # Errors
/// `Unavailable` when DynamoDB can't be reached or refuses.
pub async fn create_table_if_missing(client: &Client, name: &str) -> Result<(), StoreError> {
    let known = client.describe_table().table_name(name).send().await;
    match known {
        Ok(_) => {}
        Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) => {
            let request = define(client, name).map_err(|error| StoreError::Unavailable(Box::new(error)))?;
            match request.send().await {
                Ok(_) => {}
                // Somebody else was faster.
                Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_in_use_exception()) => {}
                Err(error) => return Err(refusal("CreateTable", &error)),
            }
        }
        Err(error) => return Err(refusal("DescribeTable", &error)),
    }
    loop {
        let described = client.describe_table().table_name(name).send().await;
        let described = described.map_err(|error| refusal("DescribeTable", &error))?;
        if described.table().and_then(|table| table.table_status()) == Some(&TableStatus::Active) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let expiry = client.describe_time_to_live().table_name(name).send().await;
    let expiry = expiry.map_err(|error| refusal("DescribeTimeToLive", &error))?;
    if expiry.time_to_live_description().and_then(|expiry| expiry.attribute_name()).is_none() {
        let wanted = TimeToLiveSpecification::builder().enabled(true).attribute_name(attr::TTL).build();
        let wanted = wanted.map_err(|error| StoreError::Unavailable(Box::new(error)))?;
        let set = client.update_time_to_live().table_name(name).time_to_live_specification(wanted).send().await;
        set.map_err(|error| refusal("UpdateTimeToLive", &error))?;
    }
    Ok(())
}

fn define(
    client: &Client,
    name: &str,
) -> Result<
    aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder,
    aws_sdk_dynamodb::error::BuildError,
> {
    let text =
        |name: &str| AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build();
    let key = |name: &str, kind: KeyType| KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
    let marks = GlobalSecondaryIndex::builder()
        .index_name(MARKS_INDEX)
        .key_schema(key(attr::MPK, KeyType::Hash)?)
        .key_schema(key(attr::MSK, KeyType::Range)?)
        .projection(
            Projection::builder()
                .projection_type(ProjectionType::Include)
                .non_key_attributes(attr::DIRTY_SINCE)
                .build(),
        )
        .build()?;
    Ok(client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(text(attr::PK)?)
        .attribute_definitions(text(attr::SK)?)
        .attribute_definitions(text(attr::MPK)?)
        .attribute_definitions(text(attr::MSK)?)
        .key_schema(key(attr::PK, KeyType::Hash)?)
        .key_schema(key(attr::SK, KeyType::Range)?)
        .global_secondary_indexes(marks))
}
