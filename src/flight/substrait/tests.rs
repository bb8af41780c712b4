use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::messages::*;
use super::*;

const BYTES_MAX: usize = 1 << 20;

fn boxed<T>(value: T) -> Option<Box<T>> {
    Some(Box::new(value))
}

fn text_type() -> Type {
    Type {
        kind: Some(TypeKind::String(Opaque {})),
    }
}

fn literal(kind: LiteralKind) -> Literal {
    Literal {
        variation: 0,
        kind: Some(kind),
    }
}

fn value(kind: LiteralKind) -> Expression {
    Expression {
        kind: Some(ExpressionKind::Literal(Box::new(literal(kind)))),
    }
}

fn field(at: i32) -> Expression {
    let segment = ReferenceSegment {
        kind: Some(SegmentKind::StructField(Box::new(StructField {
            field: at,
            child: None,
        }))),
    };
    Expression {
        kind: Some(ExpressionKind::Selection(Box::new(FieldReference {
            direct: boxed(segment),
            root: None,
        }))),
    }
}

fn called(function: u32, arguments: Vec<Expression>) -> Expression {
    let arguments = arguments.into_iter().map(|value| FunctionArgument {
        kind: Some(ArgumentKind::Value(Box::new(value))),
    });
    Expression {
        kind: Some(ExpressionKind::Scalar(Box::new(ScalarFunction {
            function,
            arguments: arguments.collect(),
            ..Default::default()
        }))),
    }
}

fn reading(kind: ReadKind) -> Rel {
    let read = ReadRel {
        base_schema: Some(NamedStruct {
            names: vec!["a".into(), "b\"; --".into()],
            types: Some(StructType {
                types: vec![text_type(), text_type()],
            }),
        }),
        kind: Some(kind),
        ..Default::default()
    };
    Rel {
        kind: Some(RelKind::Read(Box::new(read))),
    }
}

fn table() -> Rel {
    reading(ReadKind::Named(NamedTable {
        names: vec!["lab".into(), "s".into(), "t\" x".into()],
        advanced_extension: None,
    }))
}

fn filtered(input: Rel, condition: Expression) -> Rel {
    let filter = FilterRel {
        input: boxed(input),
        condition: boxed(condition),
        ..Default::default()
    };
    Rel {
        kind: Some(RelKind::Filter(Box::new(filter))),
    }
}

fn plan(root: Rel, names: &[&str], functions: &[&str]) -> Plan {
    let functions = functions.iter().zip(1..).map(|(name, anchor)| Declaration {
        declared: Some(Declared::Function(Named {
            uri: u32::MAX,
            urn: u32::MAX,
            anchor,
            name: (*name).into(),
        })),
    });
    Plan {
        extensions: functions.collect(),
        relations: vec![PlanRel {
            kind: Some(PlanRelKind::Root(Box::new(RelRoot {
                input: boxed(root),
                names: names.iter().map(|name| (*name).into()).collect(),
            }))),
        }],
        ..Default::default()
    }
}

fn asked(plan: &Plan) -> Made<String> {
    query(&plan.encode_to_vec(), BYTES_MAX)
}

/// That a text is one query and nothing else.
fn assert_is_a_query(sql: &str) {
    let parsed = Parser::parse_sql(&GenericDialect {}, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert!(matches!(parsed.as_slice(), [Statement::Query(_)]), "{sql}");
}

#[test]
fn names_and_values_from_a_plan_stay_names_and_values() {
    let nasty = "x\\' OR 1=1; DROP TABLE t; -- '' \u{0} ü\n";
    let condition = called(1, vec![field(1), value(LiteralKind::String(nasty.into()))]);
    let sql = asked(&plan(filtered(table(), condition), &["a", "a"], &["equal:any_any"])).unwrap();
    assert_eq!(
        sql,
        "SELECT r1.\"a\" AS \"a\", r1.\"b\"\"; --\" AS \"a_2\" FROM \"lab\".\"s\".\"t\"\" x\" AS r1 WHERE (r1.\"b\"\"; --\" = 'x\\'' OR 1=1; DROP TABLE t; -- '''' \u{0} ü\n')"
    );
    assert_is_a_query(&sql);
}

#[test]
fn what_a_plan_may_not_say_is_refused_by_its_kind() {
    let aggregate = AggregateRel {
        input: boxed(table()),
        groupings: vec![Grouping::default(), Grouping::default()],
        ..Default::default()
    };
    let aggregate = Rel {
        kind: Some(RelKind::Aggregate(Box::new(aggregate))),
    };
    let enhanced = Plan {
        advanced_extensions: Some(AdvancedExtension {
            enhancement: Some(Opaque {}),
        }),
        ..plan(table(), &["a", "b"], &[])
    };
    let one = |relation: RelKind| plan(Rel { kind: Some(relation) }, &["a", "b"], &[]);
    let calling = |name: &str| {
        let condition = called(1, vec![field(0), field(1)]);
        plan(filtered(table(), condition), &["a", "b"], &[name])
    };
    let denied = [
        plan(reading(ReadKind::LocalFiles(Opaque {})), &["a", "b"], &[]),
        plan(reading(ReadKind::Iceberg(Opaque {})), &["a", "b"], &[]),
    ];
    let unsupported = [
        one(RelKind::Write(Opaque {})),
        one(RelKind::Ddl(Opaque {})),
        one(RelKind::Update(Opaque {})),
        one(RelKind::ExtensionLeaf(Opaque {})),
        one(RelKind::Reference(Opaque {})),
        plan(Rel { kind: None }, &["a"], &[]),
        plan(reading(ReadKind::Extension(Opaque {})), &["a", "b"], &[]),
        plan(aggregate, &["n"], &[]),
        enhanced,
    ];
    let invalid = [
        Plan::default(),
        plan(table(), &["a"], &[]),
        plan(filtered(table(), field(2)), &["a", "b"], &[]),
        plan(filtered(table(), field(-1)), &["a", "b"], &[]),
        plan(filtered(table(), called(7, vec![])), &["a", "b"], &[]),
        calling("x\" FROM y; --"),
        calling(""),
        calling(&"x".repeat(100)),
    ];
    for plan in denied {
        assert!(matches!(asked(&plan), Err(QueryError::Denied(_))), "{plan:?}");
    }
    for plan in unsupported {
        // A message of no version is an empty one: what is not there stands for what is not known.
        let refused = asked(&plan).err();
        assert!(
            matches!(refused, Some(QueryError::Unsupported(_) | QueryError::Invalid(_))),
            "{plan:?}: {refused:?}"
        );
    }
    for plan in invalid {
        assert!(
            matches!(asked(&plan), Err(QueryError::Invalid(_) | QueryError::Unsupported(_))),
            "{plan:?}"
        );
    }
    assert!(query(b"\xff\xff\xff", BYTES_MAX).is_err());
}

/// A field of bytes around what comes after it.
fn header(field: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![field << 3 | 2];
    prost::encoding::encode_varint(length as u64, &mut bytes);
    bytes
}

#[test]
fn depth_and_size_end_before_the_stack_and_the_memory_do() {
    // Filters in filters, and functions in functions, 100,000 deep.
    for (around, above) in [
        (&[2_u8, 2] as &[u8], &[1_u8, 2, 3] as &[u8]),
        (&[3, 4, 3], &[3, 2, 1, 2, 3]),
    ] {
        let (mut length, mut headers) = (0, Vec::new());
        for _ in 0..100_000 {
            for field in around.iter().rev() {
                let header = header(*field, length);
                length += header.len();
                headers.push(header);
            }
        }
        for field in above {
            let header = header(*field, length);
            length += header.len();
            headers.push(header);
        }
        let bytes: Vec<u8> = headers.into_iter().rev().flatten().collect();
        let refused = query(&bytes, 1 << 30).unwrap_err().to_string();
        assert!(refused.contains("recursion limit"), "{refused}");
        let refused = query(&bytes, BYTES_MAX).map_err(|error| error.to_string());
        assert!(refused.is_err());
    }
    // A long name that is declared once and named often.
    let long = "n".repeat(60);
    let calls = (0..50_000).map(|_| called(1, vec![])).collect();
    let small = plan(
        filtered(table(), called(2, calls)),
        &["a", "b"],
        &[long.as_str(), "and"],
    );
    let bytes = small.encode_to_vec();
    assert!(bytes.len() < BYTES_MAX);
    let refused = query(&bytes, BYTES_MAX).unwrap_err().to_string();
    assert!(refused.contains("limits.statement_bytes"), "{refused}");
    // A column that each of many relations emits twice.
    let mut doubled = table();
    for _ in 0..40 {
        let project = ProjectRel {
            common: Some(RelCommon {
                emit: Some(Emit {
                    output_mapping: vec![0, 0, 1, 1],
                }),
                ..Default::default()
            }),
            input: boxed(doubled),
            ..Default::default()
        };
        doubled = Rel {
            kind: Some(RelKind::Project(Box::new(project))),
        };
    }
    let sql = asked(&plan(doubled, &["a", "b", "c", "d"], &[])).unwrap();
    assert!(sql.len() < 20_000, "{}", sql.len());
    assert_is_a_query(&sql);
}

#[test]
fn rows_stay_in_their_order_through_what_keeps_it() {
    let sorted = SortRel {
        input: boxed(table()),
        sorts: vec![SortField {
            expr: boxed(field(1)),
            direction: Some(4),
        }],
        ..Default::default()
    };
    let sorted = Rel {
        kind: Some(RelKind::Sort(Box::new(sorted))),
    };
    let first = FetchRel {
        common: Some(RelCommon {
            emit: Some(Emit {
                output_mapping: vec![0],
            }),
            ..Default::default()
        }),
        input: boxed(sorted),
        count: Some(3),
        ..Default::default()
    };
    let first = Rel {
        kind: Some(RelKind::Fetch(Box::new(first))),
    };
    let truth = value(LiteralKind::Boolean(true));
    let sql = asked(&plan(filtered(filtered(first, truth.clone()), truth), &["a"], &[])).unwrap();
    let name = "\"b\"\"; --\"";
    let below = format!("SELECT r1.\"a\" AS c0, r1.{name} AS c1 FROM \"lab\".\"s\".\"t\"\" x\" AS r1");
    assert_eq!(
        sql,
        format!(
            "SELECT r2.c0 AS \"a\" FROM ({below} ORDER BY r1.{name} DESC NULLS LAST LIMIT 3) AS r2 WHERE true AND true ORDER BY r2.c1 DESC NULLS LAST"
        )
    );
    assert_is_a_query(&sql);
}

#[test]
fn literals_are_written_as_they_are() {
    let decimal = |value: i128, precision, scale| {
        LiteralKind::Decimal(DecimalValue {
            value: value.to_le_bytes().to_vec(),
            precision,
            scale,
        })
    };
    for (kind, wanted) in [
        (LiteralKind::Boolean(true), "true"),
        (LiteralKind::I64(i64::MIN), "CAST('-9223372036854775808' AS BIGINT)"),
        (LiteralKind::I8(-5), "CAST('-5' AS TINYINT)"),
        (LiteralKind::Fp64(0.1), "CAST('0.1' AS DOUBLE)"),
        (LiteralKind::Fp64(f64::NAN), "CAST('NaN' AS DOUBLE)"),
        (LiteralKind::Date(-1), "CAST('1969-12-31' AS DATE)"),
        (LiteralKind::Binary(vec![0, 255]), "X'00ff'"),
        (decimal(-5, 5, 2), "\"arrow_cast\"('-0.05', 'Decimal128(5, 2)')"),
        (decimal(12345, 5, 0), "\"arrow_cast\"('12345', 'Decimal128(5, 0)')"),
        (
            LiteralKind::PrecisionTimestamp(Precise { precision: 3, value: 5 }),
            "\"arrow_cast\"(CAST('5' AS BIGINT), 'Timestamp(ms)')",
        ),
        (LiteralKind::Null(text_type()), "CAST(NULL AS VARCHAR)"),
        (
            LiteralKind::IntervalDay(IntervalDay {
                days: 1,
                seconds: 2,
                microseconds: 0,
                precision: 3,
                subseconds: 4,
            }),
            "(INTERVAL '0 MONTHS 1 DAYS 2004000000 NANOSECONDS')",
        ),
    ] {
        let sql = asked(&plan(filtered(table(), value(kind)), &["a", "b"], &[])).unwrap();
        assert!(sql.ends_with(&format!("WHERE {wanted}")), "{sql}, not {wanted}");
        assert_is_a_query(&sql);
    }
    let unsigned = Expression {
        kind: Some(ExpressionKind::Literal(Box::new(Literal {
            variation: 1,
            kind: Some(LiteralKind::I64(-1)),
        }))),
    };
    let sql = asked(&plan(filtered(table(), unsigned), &["a", "b"], &[])).unwrap();
    assert!(sql.contains("'18446744073709551615', 'UInt64'"), "{sql}");
}

proptest::proptest! {
    /// Whatever bytes come: a query that only reads, or the caller's fault.
    #[test]
    fn noise_is_a_query_or_the_callers_fault(
        noise in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..12),
        at in 0..400_usize,
        lost in 0..8_usize,
    ) {
        let condition = called(2, vec![
            called(1, vec![field(0), value(LiteralKind::String("x".into()))]),
            called(3, vec![field(1)]),
        ]);
        let good = plan(filtered(filtered(table(), condition), value(LiteralKind::Boolean(true))), &["a", "b"], &["equal", "or", "is_null"]);
        let mut bytes = good.encode_to_vec();
        let from = at.min(bytes.len());
        let to = (from + lost).min(bytes.len());
        bytes.splice(from..to, noise.iter().copied());
        match query(&bytes, BYTES_MAX) {
            Ok(sql) => assert_is_a_query(&sql),
            Err(error) => {
                let is_callers = matches!(error, QueryError::Invalid(_) | QueryError::Denied(_) | QueryError::Unsupported(_));
                proptest::prop_assert!(is_callers, "{error:?}");
            }
        }
    }
}
