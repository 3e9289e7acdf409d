/**
 * What one client that does what it should not does to everybody else: `npm run bench:abuse -- [--only xack,del] [--scale 0.1] [--groups 3] [--patience 30] [--stacks]`.
 * Three node processes; the abuse goes to node 1. A row each: the longest wait of a PING and of a GET at every node, whether leadership changed hands,
 * turns of the event loop with more than 50 ms of processor time and what held them, and the memory of the largest node.
 * A row begins when probes are answered as usual, and lasts until they are so again: what it has left behind, in queues and on the disk, is its own.
 * A row passes when nobody waited for more than 300 ms, no group changed its leader and no turn took more than 150 ms of processor time: the last also
 * says something when the machine is busy. The exit code is 1 when a row does not pass.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { formatTable } from '../cmd/cli/table.ts';
import { type AbuseRow, Abuser } from './abuse/abuser.ts';
import { type Calm, type ProbeResult, Prober } from './abuse/prober.ts';
import { ABUSE_ROWS } from './abuse/rows.ts';
import { type LocalNodes, portOf, startLocalNodes } from './local-nodes.ts';
import { Scratch } from './scratch.ts';

const MAX_WAIT_MS = 300;
const MAX_TURN_MS = 150;
/** What a row has caused is over when nobody waits for long any more, for a while; it counts as the row's until then. */
const CALM = { calmMs: 60, quietMs: 1_000 } as const;
const MIB = 1024 ** 2;
const KIB = 1024;

/** Turns that nodes have told of. */
interface ToldTurn {
  readonly node: number;
  readonly processorMs: number;
  readonly name: string;
}

interface Outcome {
  readonly row: AbuseRow;
  readonly outcome: string;
  readonly seconds: number;
  readonly probes: ProbeResult;
  /** Others were served as usual again soon afterwards. */
  readonly isCalm: boolean;
  readonly leaderChanges: number;
  readonly turns: number;
  readonly longest: ToldTurn | undefined;
  readonly memoryMib: number;
}

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    scale: { type: 'string', default: '1' },
    groups: { type: 'string', default: '3' },
    patience: { type: 'string', default: '30' },
    json: { type: 'string' },
    stacks: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
});

const calm: Calm = { ...CALM, patienceMs: Number(values.patience) * 1000 };
const told: ToldTurn[] = [];
const lineOf = /one turn took (\d+) ms of processor time: ([^"]+)"/;

function hear(node: number, line: string): void {
  if (values.verbose || values.stacks) console.error(`n${node} | ${line}`);
  const [, ms, name] = lineOf.exec(line) ?? [];
  if (ms !== undefined) told.push({ node, processorMs: Number(ms), name: name! });
}

/** Most resident memory of a process since the last call. */
function peakBytes(pid: number): number {
  const peakKib = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  // 5 begins anew with what is resident now.
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
  return peakKib * KIB;
}

/** Turns that took long, of all nodes, since they were started. */
async function heldTurns(addresses: readonly string[]): Promise<number> {
  let turns = 0;
  for (const address of addresses) {
    const text = await (await fetch(`http://${address}/metrics`)).text();
    for (const match of text.matchAll(/^kvorum_event_loop_held_turns_total\{.*\} (\d+)$/gm)) turns += Number(match[1]);
  }
  return turns;
}

/** Runs one row after the other on one cluster. */
class Run {
  private readonly nodes: LocalNodes;
  private readonly abuser: Abuser;
  private readonly prober: Prober;

  constructor(nodes: LocalNodes, abuser: Abuser, prober: Prober) {
    this.nodes = nodes;
    this.abuser = abuser;
    this.prober = prober;
  }

  async row(row: AbuseRow): Promise<Outcome> {
    const { abuser, prober } = this;
    await row.prepare?.(abuser);
    await prober.settles(calm);
    const members = await this.nodes.members();
    const metrics = members.map(({ addresses }) => addresses.metrics);
    const before = await this.terms();
    const turnsBefore = await heldTurns(metrics);
    for (const { pid } of members) peakBytes(pid);
    told.length = 0;
    prober.begin();
    const startedMs = performance.now();
    const outcome = await row.act(abuser);
    const seconds = (performance.now() - startedMs) / 1000;
    const isCalm = await prober.settles(calm);
    const probes = await prober.end();
    const after = await this.terms();
    return {
      ...{ row, outcome, seconds, probes, isCalm },
      leaderChanges: after.filter((term, at) => term !== before[at]).length,
      turns: (await heldTurns(metrics)) - turnsBefore,
      longest: told.toSorted((left, right) => right.processorMs - left.processorMs)[0],
      memoryMib: Math.max(...members.map(({ pid }) => peakBytes(pid))) / MIB,
    };
  }

  private async terms(): Promise<number[]> {
    return (await this.nodes.members())[0]!.groups.map(({ term }) => term);
  }
}

const waitMs = ({ probes }: Outcome): number => Math.max(...probes.pingMs, ...probes.getMs);

const hasShortTurns = ({ longest }: Outcome): boolean => (longest?.processorMs ?? 0) <= MAX_TURN_MS;

const passes = (outcome: Outcome): boolean =>
  waitMs(outcome) <= MAX_WAIT_MS &&
  outcome.leaderChanges === 0 &&
  outcome.probes.failures === 0 &&
  outcome.isCalm &&
  hasShortTurns(outcome);

const HEADING = ['', 'row', 'took', 'PING', 'GET', 'leaders', 'turns', 'longest turn', 'MiB', 'what', 'outcome'];

function cells(outcome: Outcome): string[] {
  const { row, seconds, probes, leaderChanges, turns, longest, memoryMib } = outcome;
  return [
    passes(outcome) ? 'pass' : 'FAIL',
    row.name,
    `${seconds.toFixed(1)} s${outcome.isCalm ? '' : ', then no calm'}`,
    probes.pingMs.map((ms) => ms.toFixed(0)).join('/'),
    probes.getMs.map((ms) => ms.toFixed(0)).join('/') + (probes.failures === 0 ? '' : ` (${probes.failures} failed)`),
    leaderChanges === 0 ? 'stayed' : `${leaderChanges} changed`,
    String(turns),
    longest === undefined ? '-' : `${longest.processorMs} ms ${longest.name} (n${longest.node})`,
    memoryMib.toFixed(0),
    row.what,
    outcome.outcome,
  ];
}

const only = values.only?.split(',');
const rows = ABUSE_ROWS.filter(({ name }) => only === undefined || only.includes(name));
const unknown = only?.filter((name) => !ABUSE_ROWS.some((row) => row.name === name)) ?? [];
if (unknown.length > 0) throw new Error(`there is no row ${unknown}; rows are ${ABUSE_ROWS.map(({ name }) => name)}`);

const scratch = new Scratch(process.env.KVORUM_BENCH_FOLDER);
try {
  const nodes = await startLocalNodes(scratch, {
    nodes: 3,
    groups: Number(values.groups),
    flags: { loopWatch: values.stacks ? 'stacks' : 'on' },
    onLine: hear,
  });
  const ports = (await nodes.members()).map(({ addresses }) => portOf(addresses.redis));
  const abuser = new Abuser(ports, Number(values.scale));
  const prober = await Prober.start(ports, (key, value) => abuser.call('SET', key, value));
  scratch.own(() => prober.stop());
  const run = new Run(nodes, abuser, prober);
  const outcomes: Outcome[] = [];
  for (const row of rows) {
    const outcome = await run.row(row);
    outcomes.push(outcome);
    console.log(
      formatTable([HEADING, cells(outcome)])
        .split('\n')
        .slice(outcomes.length === 1 ? 0 : 1)
        .join('\n'),
    );
  }
  console.log(`\n${formatTable([HEADING, ...outcomes.map(cells)])}`);
  const passed = outcomes.filter(passes).length;
  const short = outcomes.filter(hasShortTurns).length;
  console.log(
    `${passed} of ${outcomes.length} rows pass: nobody waited more than ${MAX_WAIT_MS} ms, no leader changed`,
  );
  console.log(
    `${short} of ${outcomes.length} rows have no turn of more than ${MAX_TURN_MS} ms, which holds on a busy machine too`,
  );
  if (values.json !== undefined) writeFileSync(values.json, JSON.stringify(outcomes, undefined, 2));
  if (passed < outcomes.length) process.exitCode = 1;
} finally {
  await scratch.clean();
}
