//! Roles that the token of an OpenID Connect provider brings.

use tonic::Code;

use crate::lab;
use crate::logins::{Provider, free_port, with_token};
use crate::postgres::who_am_i;
use crate::raw::query;

const COUNT: &str = "SELECT count(*) FROM lab.chemistry.reactions";

#[tokio::test(flavor = "multi_thread")]
async fn groups_of_the_provider_give_the_roles_that_are_listed_and_no_other() {
    let port = free_port();
    let people = [
        r#"{"sub":"1","preferred_username":"ola","realm_access":{"roles":["chemists","lake_admin","role:lake_admin, *"]}}"#,
        r#"{"sub":"2","preferred_username":"ola","realm_access":{"roles":["everybody"]}}"#,
        r#"{"sub":"3","preferred_username":"pat","realm_access":{"roles":["analysts"]}}"#,
        r#"{"sub":"4","preferred_username":"uma","groups":["chemists"]}"#,
    ];
    let provider = Provider::start(port, &people);
    let issuer = provider.issuer.clone();
    let lab = lab::own_with(|config| {
        let config = config.replace("[listen]\n", "[listen]\npostgres = \"127.0.0.1:0\"\n");
        format!(
            "{config}\n[auth.oidc]\nissuer = \"{issuer}\"\naudience = \"labhouse\"\nroles_claim = \"realm_access.roles\"\nroles = {{ chemists = \"role:lab_scientist, chemistry\", analysts = \"role:lab_analyst, chemistry\" }}\n"
        )
    });
    let seen_by = async |token: &str| {
        let mut raw = with_token(&lab, token).await;
        let (_, batches) = raw.ask(&query(COUNT)).await?;
        let column = arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(batches[0].column(0)).value(0);
        Ok::<i64, tonic::Status>(column)
    };
    let token = |sub: &str| provider.token("labhouse", sub);
    let (ola, pat) = (token("1"), token("3"));
    let all = lab.number("sam", COUNT).await;
    assert_eq!(seen_by(&ola).await.unwrap(), all);
    // The same name without the group, another group, a group in another claim.
    for sub in ["2", "4"] {
        assert_eq!(seen_by(&token(sub)).await.unwrap_err().code(), Code::NotFound, "{sub}");
    }
    assert_eq!(
        seen_by(&ola).await.unwrap(),
        all,
        "a decision for one login is not another's"
    );
    // A role that is brought has its row filter, as for the one whom the policy gives it.
    let filtered = lab.number("ana", COUNT).await;
    assert!(filtered < all);
    assert_eq!(seen_by(&pat).await.unwrap(), filtered);
    // In its domain and no other, and no role that the list does not have.
    let mut raw = with_token(&lab, &ola).await;
    for sql in [
        "SELECT count(*) FROM lab.assay.ic50",
        "SELECT count(*) FROM lab.preclinical.animals",
        "SELECT 1 FROM system.audit",
    ] {
        assert_eq!(raw.ask(&query(sql)).await.unwrap_err().code(), Code::NotFound, "{sql}");
    }
    // By the PostgreSQL door the token goes as the password, on the client's word alone.
    let told = |options: &str| who_am_i(&lab, "ola", &format!("sslmode=disable password={ola} {options}"));
    assert_eq!(told("options='-c labhouse.login=password'").unwrap(), "ola False");
    let refused = told("").unwrap_err();
    assert!(refused.contains("login refused"), "{refused}");
}
