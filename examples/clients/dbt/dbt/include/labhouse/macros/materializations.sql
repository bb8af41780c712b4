{# One commit: readers see the old table or the new one. #}
{% materialization table, adapter="labhouse" %}
  {% set target = this.incorporate(type="table") %}
  {{ run_hooks(pre_hooks) }}
  {% call statement("main", auto_begin=False) %}
    {{ get_create_table_as_sql(False, target, sql) }}
  {% endcall %}
  {% do persist_docs(target, model) %}
  {{ run_hooks(post_hooks) }}
  {{ return({"relations": [target]}) }}
{% endmaterialization %}

{# The server has no plain views; one that is kept and follows its sources stands for them. #}
{% materialization view, adapter="labhouse" %}
  {% set target = this.incorporate(type="table") %}
  {{ run_hooks(pre_hooks) }}
  {% call statement("main", auto_begin=False) %}
    create or replace materialized view {{ target.render() }} refresh {{ config.get("refresh", "on change") }} as
    {{ sql }}
  {% endcall %}
  {{ run_hooks(post_hooks) }}
  {{ return({"relations": [target]}) }}
{% endmaterialization %}

{# The first run and --full-refresh make the table; later ones add rows, or change those with the same unique_key. #}
{% materialization incremental, adapter="labhouse", supported_languages=["sql"] %}
  {% set target = this.incorporate(type="table") %}
  {% set existing = load_cached_relation(this) %}
  {% set unique_key = config.get("unique_key") %}
  {{ run_hooks(pre_hooks) }}
  {% if existing is none or should_full_refresh() %}
    {% call statement("main", auto_begin=False) %}
      {{ get_create_table_as_sql(False, target, sql) }}
    {% endcall %}
  {% else %}
    {% set columns = adapter.get_columns_in_relation(target) | map(attribute="name") | list %}
    {% set names = [] %}
    {% for name in columns if not name.startswith("_") %}{% do names.append(adapter.quote(name)) %}{% endfor %}
    {% if unique_key %}
      {% set keys = [unique_key] if unique_key is string else unique_key %}
      {% set quoted_keys = [] %}
      {% for key in keys %}{% do quoted_keys.append(adapter.quote(key)) %}{% endfor %}
      {% set others = names | reject("in", quoted_keys) | list %}
      {% call statement("main", auto_begin=False) %}
        merge into {{ target.render() }} as target using (select {{ names | join(", ") }} from ({{ sql }}) as new_rows) as source
        on {% for key in quoted_keys %}target.{{ key }} = source.{{ key }}{{ " and " if not loop.last }}{% endfor %}
        {% if others %}
        when matched then update set {% for name in others %}{{ name }} = source.{{ name }}{{ ", " if not loop.last }}{% endfor %}
        {% endif %}
        when not matched then insert ({{ names | join(", ") }})
          values ({% for name in names %}source.{{ name }}{{ ", " if not loop.last }}{% endfor %})
      {% endcall %}
    {% else %}
      {% call statement("main", auto_begin=False) %}
        insert into {{ target.render() }} ({{ names | join(", ") }})
        select {{ names | join(", ") }} from ({{ sql }}) as new_rows
      {% endcall %}
    {% endif %}
  {% endif %}
  {% do persist_docs(target, model) %}
  {{ run_hooks(post_hooks) }}
  {{ return({"relations": [target]}) }}
{% endmaterialization %}

{% materialization snapshot, adapter="labhouse" %}
  {% do exceptions.raise_compiler_error("snapshots are not made here: every version of a table can be read, FOR VERSION AS OF n") %}
{% endmaterialization %}
