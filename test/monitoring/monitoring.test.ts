/** Rules and dashboards against what a running cluster really exports. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { parse } from 'yaml';
import { AdminClient } from '../../src/adapter/grpc/index.ts';
import { ALL_METRICS, metricsReference } from '../../src/adapter/metrics/index.ts';
import { ProcessNodes } from '../support/process-nodes.ts';
import { until } from '../support/until.ts';
import { type Family, parseExposition } from './exposition.ts';
import { type Expression, parsePromQl, type Selector } from './promql.ts';

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string };
}

const rules = (
  parse(read('monitoring/alerts.yml')) as { readonly groups: readonly { readonly rules: readonly Rule[] }[] }
).groups.flatMap((group) => group.rules);

interface Panel {
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}

interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly templating: { readonly list: readonly { readonly name: string; readonly query: unknown }[] };
  readonly panels: readonly Panel[];
}

const dashboards = readdirSync(new URL('../../monitoring/dashboards', import.meta.url)).map(
  (name) => JSON.parse(read(`monitoring/dashboards/${name}`)) as Dashboard,
);

/** Every expression of rules and dashboards, with where it stands. */
const expressions: { readonly where: string; readonly source: string }[] = [
  ...rules.map(({ alert, expr }) => ({ where: alert, source: expr })),
  ...dashboards.flatMap(({ title, panels }) =>
    panels.flatMap((panel) =>
      (panel.targets ?? []).map(({ expr }) => ({ where: `${title}: ${panel.title}`, source: expr })),
    ),
  ),
];

/** What Prometheus adds to every series. */
const SCRAPER_LABELS = new Set(['instance', 'job']);
/** A histogram's labels in a series of it. */
const SUFFIX = /_(?:bucket|sum|count)$/;

const declared = new Map(ALL_METRICS.map((metric) => [metric.name, metric]));

/** Labels of the series of a selector; undefined when there is no such series. */
function labelsOf(families: ReadonlyMap<string, Family>, metric: string): ReadonlySet<string> | undefined {
  if (metric === 'up') return new Set();
  const histogram = families.get(metric.replace(SUFFIX, ''));
  if (SUFFIX.test(metric) && histogram?.type === 'histogram') {
    const own = declared.get(histogram.name)?.labels ?? [];
    return new Set(metric.endsWith('_bucket') ? [...own, 'le'] : own);
  }
  const family = families.get(metric);
  if (family === undefined || family.type === 'histogram') return undefined;
  return new Set(declared.get(metric)?.labels ?? family.series.flatMap(({ labels }) => Object.keys(labels)));
}

/** What is wrong with an expression. */
function problemsOf(families: ReadonlyMap<string, Family>, { selectors, groupings }: Expression): string[] {
  const problems: string[] = [];
  const check = (selector: Selector, label: string): void => {
    const labels = labelsOf(families, selector.metric);
    if (labels !== undefined && !labels.has(label) && !SCRAPER_LABELS.has(label)) {
      problems.push(`${selector.metric} has no label ${label}`);
    }
  };
  for (const selector of selectors) {
    if (labelsOf(families, selector.metric) === undefined) problems.push(`nothing exports ${selector.metric}`);
    for (const { label } of selector.matchers) check(selector, label);
  }
  for (const { label, of } of groupings) for (const selector of of) check(selector, label);
  return problems;
}

const SECRET = 'a value that nobody may see';

describe('a running cluster', () => {
  let cluster: ProcessNodes;
  let families: Map<string, Family>;
  let text: string;
  const exposition = async (node: number): Promise<string> =>
    (await fetch(`http://127.0.0.1:${cluster.metricsPort(node)}/metrics`)).text();

  before(async () => {
    cluster = await ProcessNodes.start();
    const client = cluster.client(1);
    await Promise.all(Array.from({ length: 200 }, (_, at) => client.set(`user:${at}`, SECRET)));
    // Slots 12182 and 5061: of different groups.
    await client.mset('foo', SECRET, 'bar', SECRET);
    await client.get('user:1');
    await client.call('hget', 'user:1').catch(() => undefined);
    const admin = new AdminClient(`127.0.0.1:${cluster.grpcPort(1)}`);
    await admin.call('Health', {}, 5000);
    admin.close();
    await until('metrics of what was just done', async () => {
      text = await exposition(1);
      families = parseExposition(text);
      return (families.get('kvorum_redis_commands_total')?.series.length ?? 0) > 0;
    });
  });
  after(() => cluster.stop());

  test('exports every metric that is declared, as it is declared', () => {
    for (const { name, type, help, labels } of ALL_METRICS) {
      const family = families.get(name);
      assert.ok(family !== undefined, `nothing exports ${name}`);
      assert.equal(family.type, type);
      assert.equal(family.help, help);
      for (const series of family.series) {
        const own = Object.keys(series.labels).filter((label) => label !== 'le');
        assert.deepEqual(own.sort(), [...labels].sort(), name);
      }
    }
  });

  test('exports every metric and label that rules and dashboards name', () => {
    const problems = expressions.flatMap(({ where, source }) =>
      problemsOf(families, parsePromQl(source)).map((problem) => `${where}: ${problem}`),
    );
    assert.deepEqual(problems, []);
  });

  test('would not satisfy a rule about what it does not export', () => {
    const wrong = ['kvorum_nothing > 0', 'kvorum_groups{shard="1"} > 0', 'sum by (colour) (kvorum_groups)'];
    for (const source of wrong) assert.equal(problemsOf(families, parsePromQl(source)).length, 1, source);
  });

  test('counts what its clients do', async () => {
    const valueIn = (of: ReadonlyMap<string, Family>, name: string, labels: Record<string, string> = {}): number =>
      (of.get(name)?.series ?? [])
        .filter((series) => Object.entries(labels).every(([label, wanted]) => series.labels[label] === wanted))
        .reduce((sum, series) => sum + series.value, 0);
    const value = (name: string, labels?: Record<string, string>): number => valueIn(families, name, labels);
    assert.equal(value('kvorum_redis_commands_total', { command: 'set' }), 200);
    assert.equal(value('kvorum_redis_command_errors_total', { command: 'hget' }) <= 1, true);
    const set = families
      .get('kvorum_redis_command_duration_seconds')!
      .series.filter(({ labels }) => labels.command === 'set');
    assert.equal(set.find(({ name, labels }) => name.endsWith('_bucket') && labels.le === '+Inf')!.value, 200);
    assert.equal(set.find(({ name }) => name.endsWith('_count'))!.value, 200);
    assert.ok(set.find(({ name }) => name.endsWith('_sum'))!.value > 0);
    assert.equal(value('kvorum_grpc_calls_total', { method: 'kvorum.v1.Admin/Health', code: 'OK' }), 1);
    assert.ok(value('kvorum_log_fsync_duration_seconds') > 0);
    assert.ok(value('kvorum_apply_entries_total') > 0);
    assert.ok(value('kvorum_raft_proposals_total', { outcome: 'applied' }) > 0);
    assert.ok(value('kvorum_raft_elections_won_total') >= Math.min(1, value('kvorum_groups_led')));
    assert.ok(value('kvorum_raft_leader_changes_total') >= value('kvorum_groups'));
    assert.ok(value('kvorum_proxy_forwards_total', { outcome: 'ok' }) > 0, 'some keys are led elsewhere');
    assert.equal(value('kvorum_proxy_received_total', { result: 'too_many_hops' }), 0);
    const ofAll = await Promise.all([1, 2, 3].map(async (node) => parseExposition(await exposition(node))));
    const committed = { way: 'two_phase', outcome: 'committed' };
    const attempts = ofAll.map((of) => valueIn(of, 'kvorum_txn_attempts_total', committed));
    assert.ok(Math.max(...attempts) >= 1, 'it ran where the group of its smallest key is led');
    assert.ok(value('kvorum_network_bytes_total', { lane: 'bulk', direction: 'sent' }) > 0);
    assert.equal(value('kvorum_ready'), 1);
  });

  test('names neither keys nor values of its users in its metrics', () => {
    assert.doesNotMatch(text, /user:|nobody may see|\bfoo\b/);
  });

  test('says in /readyz?verbose where each group is led', async () => {
    const answer = await (await fetch(`http://127.0.0.1:${cluster.metricsPort(1)}/readyz?verbose`)).text();
    assert.match(answer, /^ready\n(?:group \d+: (?:led here with(?:out)? a lease|follower of node \d).*\n)+$/);
  });
});

describe('rules and dashboards', () => {
  test('have severities and summaries, and a line in the README that says what to do', () => {
    const readme = read('monitoring/README.md');
    for (const { alert, labels, annotations } of rules) {
      assert.match(alert, /^Kvorum[A-Z]/);
      assert.ok(['page', 'ticket'].includes(labels.severity), alert);
      assert.ok(annotations.summary.length > 0, alert);
      assert.ok(readme.includes(`| ${alert} |`), `the README says nothing about ${alert}`);
    }
    assert.equal(new Set(rules.map(({ alert }) => alert)).size, rules.length);
  });

  test('have panels that do not overlap, and variables that metrics can fill', () => {
    assert.equal(dashboards.length, 2);
    for (const { title, panels, templating } of dashboards) {
      const cells = new Set<string>();
      for (const { gridPos, title: panel } of panels) {
        for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
          for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
            assert.ok(x < 24 && !cells.has(`${x}/${y}`), `${title}: ${panel} lies over another`);
            cells.add(`${x}/${y}`);
          }
        }
      }
      for (const { name, query } of templating.list) {
        if (name === 'datasource') continue;
        const [, metric, label] = /^label_values\((\w+), (\w+)\)$/.exec((query as { query: string }).query) ?? [];
        assert.ok(declared.has(metric!), `${title}: ${name}`);
        assert.ok(label === 'instance' || declared.get(metric!)!.labels.includes(label!), `${title}: ${name}`);
      }
    }
  });

  test('scrape the metrics ports that `npm start` opens', () => {
    const config = parse(read('monitoring/prometheus.yml')) as {
      readonly rule_files: readonly string[];
      readonly scrape_configs: readonly {
        readonly job_name: string;
        readonly static_configs: readonly { readonly targets: readonly string[] }[];
      }[];
    };
    assert.deepEqual(config.rule_files, ['alerts.yml']);
    assert.equal(config.scrape_configs[0]!.job_name, 'kvorum');
    assert.deepEqual(config.scrape_configs[0]!.static_configs[0]!.targets, [
      '127.0.0.1:9090',
      '127.0.0.1:9091',
      '127.0.0.1:9092',
    ]);
  });
});

test('the reference of metrics is up to date: npm run docs:metrics', () => {
  assert.equal(read('docs/metrics.md'), metricsReference());
});
