{# A schema is there with its first table, and gone with its last. #}
{% macro labhouse__create_schema(relation) %}{% endmacro %}

{% macro labhouse__drop_schema(relation) %}
  {% do exceptions.raise_compiler_error("labhouse drops no schemas: drop their tables") %}
{% endmacro %}

{% macro labhouse__list_schemas(database) %}
  {% set sql %}
    select distinct table_schema from lab.information_schema.tables
  {% endset %}
  {{ return(run_query(sql)) }}
{% endmacro %}

{% macro labhouse__check_schema_exists(information_schema, schema) %}
  {% set sql %}
    select count(*) from lab.information_schema.tables where table_schema = '{{ schema }}'
  {% endset %}
  {{ return(run_query(sql)) }}
{% endmacro %}

{% macro labhouse__list_relations_without_caching(schema_relation) %}
  {% set sql %}
    select table_catalog as "database", table_name as name, table_schema as "schema", 'table' as type
    from lab.information_schema.tables
    where table_schema = '{{ schema_relation.schema }}'
  {% endset %}
  {{ return(run_query(sql)) }}
{% endmacro %}

{% macro labhouse__get_columns_in_relation(relation) %}
  {% set sql %}
    select column_name, data_type, character_maximum_length, numeric_precision, numeric_scale
    from lab.information_schema.columns
    where table_schema = '{{ relation.schema }}' and table_name = '{{ relation.identifier }}'
    order by ordinal_position
  {% endset %}
  {{ return(sql_convert_columns_in_relation(run_query(sql))) }}
{% endmacro %}

{% macro labhouse__get_catalog(information_schema, schemas) %}
  {% set sql %}
    select t.table_catalog as table_database, t.table_schema, t.table_name, t.table_type,
           cast(null as varchar) as table_comment, c.column_name, c.ordinal_position as column_index,
           c.data_type as column_type, cast(null as varchar) as column_comment, cast(null as varchar) as table_owner
    from lab.information_schema.tables t
    join lab.information_schema.columns c on c.table_schema = t.table_schema and c.table_name = t.table_name
    where t.table_schema in ({% for schema in schemas %}'{{ schema }}'{{ ", " if not loop.last }}{% endfor %})
    order by 2, 3, 7
  {% endset %}
  {{ return(run_query(sql)) }}
{% endmacro %}

{% macro labhouse__create_table_as(temporary, relation, compiled_code, language="sql") %}
  create or replace table {{ relation.render() }} as
  {{ compiled_code }}
{% endmacro %}

{% macro labhouse__drop_relation(relation) %}
  {% call statement("drop_relation", auto_begin=False) %}
    drop table if exists {{ relation.render() }}
  {% endcall %}
{% endmacro %}

{% macro labhouse__truncate_relation(relation) %}
  {% call statement("truncate_relation", auto_begin=False) %}
    delete from {{ relation.render() }}
  {% endcall %}
{% endmacro %}

{% macro labhouse__rename_relation(from_relation, to_relation) %}
  {% do exceptions.raise_compiler_error("labhouse renames no tables: CREATE OR REPLACE TABLE changes one in one commit") %}
{% endmacro %}

{% macro labhouse__current_timestamp() %}now(){% endmacro %}

{% macro labhouse__alter_relation_comment(relation, relation_comment) %}
  comment on table {{ relation.render() }} is '{{ relation_comment | replace("'", "''") }}'
{% endmacro %}

{% macro labhouse__alter_column_comment(relation, column_dict) %}
  {% for name, column in column_dict.items() if column.description %}
    {% call statement("comment_" ~ loop.index, auto_begin=False) %}
      comment on column {{ relation.render() }}.{{ adapter.quote(name) }} is '{{ column.description | replace("'", "''") }}'
    {% endcall %}
  {% endfor %}
{% endmacro %}

{% macro labhouse__persist_docs(relation, model, for_relation, for_columns) %}
  {% if for_relation and config.persist_relation_docs() and model.description %}
    {% call statement("comment", auto_begin=False) %}{{ alter_relation_comment(relation, model.description) }}{% endcall %}
  {% endif %}
  {% if for_columns and config.persist_column_docs() and model.columns %}
    {% do alter_column_comment(relation, model.columns) %}
  {% endif %}
{% endmacro %}

{% macro labhouse__create_csv_table(model, agate_table) %}
  {% set overrides = model["config"].get("column_types", {}) %}
  {% set quoted = model["config"].get("quote_columns", none) %}
  {% set sql %}
    create or replace table {{ this.render() }} (
      {% for name in agate_table.column_names %}
        {{ adapter.quote_seed_column(name | string, quoted) }}
        {{ overrides.get(name, adapter.convert_type(agate_table, loop.index0)) }}{{ "," if not loop.last }}
      {% endfor %}
    )
  {% endset %}
  {% call statement("_", auto_begin=False) %}{{ sql }}{% endcall %}
  {{ return(sql) }}
{% endmacro %}

{% macro labhouse__reset_csv_table(model, full_refresh, old_relation, agate_table) %}
  {{ return(create_csv_table(model, agate_table)) }}
{% endmacro %}

{% macro labhouse__load_csv_rows(model, agate_table) %}
  {{ return(adapter.load_rows(this, get_seed_column_quoted_csv(model, agate_table.column_names), agate_table)) }}
{% endmacro %}
