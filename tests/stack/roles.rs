//! What each role may not do. The server enforces what the template says, so these are the template's own policies; that
//! they allow what is needed, every other test shows.

use serde_json::{Value, json};

use crate::cloud::shared;

/// Calls that a role must be refused: the service, the operation, and its arguments.
async fn refused(roles: &[&str], calls: impl Fn() -> Vec<(&'static str, &'static str, Value)>) {
    let stack = shared();
    let mut aws = stack.calls();
    for logical in roles {
        let role = stack.resource(&mut aws, logical).await;
        let arn = format!("arn:aws:iam::000000000000:role/{role}");
        for (service, operation, args) in calls() {
            match aws.tries(Some(&arn), service, operation, args.clone()).await {
                Err(e) => assert!(
                    e.code.contains("AccessDenied"),
                    "{logical} {service} {operation}: {} {}, which is no refusal",
                    e.code,
                    e.why
                ),
                Ok(_) => panic!("{logical} may {service} {operation} {args}"),
            }
        }
    }
}

const ALL: [&str; 4] = ["InboundRole", "RelayRole", "ApiRole", "WorkerRole"];

#[tokio::test]
async fn nobody_may_scan_the_table_or_change_it() {
    let table = shared().output("Table");
    refused(&ALL, || {
        vec![
            ("dynamodb", "scan", json!({"TableName": table})),
            ("dynamodb", "delete_table", json!({"TableName": table})),
            ("dynamodb", "update_table", json!({"TableName": table, "DeletionProtectionEnabled": false})),
            ("dynamodb", "create_backup", json!({"TableName": table, "BackupName": "mine"})),
        ]
    })
    .await;
}

#[tokio::test]
async fn nobody_may_touch_a_table_a_queue_or_a_key_that_is_not_sameroom_s() {
    let stack = shared();
    let mut aws = stack.calls();
    let schema = json!([{"AttributeName": "p", "KeyType": "HASH"}]);
    let attributes = json!([{"AttributeName": "p", "AttributeType": "S"}]);
    let table = json!({
        "TableName": "somebody-elses", "KeySchema": schema, "AttributeDefinitions": attributes,
        "BillingMode": "PAY_PER_REQUEST",
    });
    aws.does("dynamodb", "create_table", table).await;
    let queue = aws.does("sqs", "create_queue", json!({"QueueName": "somebody-elses"})).await["QueueUrl"].clone();
    let key = aws.does("kms", "create_key", json!({})).await["KeyMetadata"]["KeyId"].clone();
    refused(&ALL, || {
        let row = json!({"p": {"S": "x"}});
        vec![
            ("dynamodb", "get_item", json!({"TableName": "somebody-elses", "Key": row})),
            ("dynamodb", "put_item", json!({"TableName": "somebody-elses", "Item": row})),
            ("sqs", "send_message", json!({"QueueUrl": queue, "MessageBody": "x"})),
            ("sqs", "receive_message", json!({"QueueUrl": queue})),
            ("kms", "generate_data_key", json!({"KeyId": key, "KeySpec": "AES_256"})),
        ]
    })
    .await;
}

#[tokio::test]
async fn nobody_may_take_from_a_queue_that_is_another_s_or_empty_one() {
    let stack = shared();
    let queue = |output: &str| json!({"QueueUrl": stack.output(output)});
    let (events, outbox, held) = (queue("EventsQueueUrl"), queue("OutboxQueueUrl"), queue("HeldQueueUrl"));
    let dead =
        || ["EventsDeadUrl", "OutboxDeadUrl", "HeldDeadUrl"].map(|output| ("sqs", "receive_message", queue(output)));
    let purge = || [&events, &outbox, &held].map(|queue| ("sqs", "purge_queue", queue.clone()));
    let takes = |queues: &[&Value]| -> Vec<(&'static str, &'static str, Value)> {
        let own = queues.iter().map(|queue| ("sqs", "receive_message", (*queue).clone()));
        own.chain(dead()).chain(purge()).collect()
    };
    refused(&["InboundRole", "ApiRole"], || takes(&[&events, &outbox, &held])).await;
    refused(&["RelayRole"], || takes(&[&held])).await;
    refused(&["WorkerRole"], || takes(&[&events, &outbox])).await;
}

#[tokio::test]
async fn nobody_may_change_the_key_or_other_roles_or_functions() {
    let stack = shared();
    let key = stack.output("KmsKey");
    let function = stack.output("ApiFunctionName");
    refused(&ALL, || {
        vec![
            ("kms", "schedule_key_deletion", json!({"KeyId": key, "PendingWindowInDays": 7})),
            ("kms", "disable_key", json!({"KeyId": key})),
            ("kms", "create_grant", json!({"KeyId": key, "GranteePrincipal": "x", "Operations": ["Decrypt"]})),
            ("iam", "create_user", json!({"UserName": "mal"})),
            ("iam", "list_roles", json!({})),
            // Whoever may invoke the function is given a key.
            ("lambda", "invoke", json!({"FunctionName": function, "Payload": "{\"sameroom\":\"first-key\"}"})),
            ("lambda", "get_function", json!({"FunctionName": function})),
        ]
    })
    .await;
    // What takes webhooks in only opens secrets.
    refused(&["InboundRole"], || vec![("kms", "generate_data_key", json!({"KeyId": key, "KeySpec": "AES_256"}))]).await;
}

#[tokio::test]
async fn nobody_without_aws_credentials_is_given_a_key() {
    let stack = shared();
    let asked = r#"{"sameroom":"first-key"}"#;
    for path in ["/", "/events", "/api/v1/keys"] {
        let request = reqwest::Client::new().post(format!("{}{path}", stack.local("Url"))).body(asked);
        let answer = request.header("content-type", "application/json").send().await.expect("it answers");
        assert!(answer.status().is_client_error(), "{path}: {}", answer.status());
        assert!(!answer.text().await.expect("words").contains("\"token\""), "{path} gave a key");
    }
    let invoke =
        format!("{}/2015-03-31/functions/{}/invocations", stack.cloud.endpoint(), stack.output("ApiFunctionName"));
    let answer = reqwest::Client::new().post(invoke).body(asked).send().await.expect("it answers");
    assert_eq!(answer.status().as_u16(), 403);
}
