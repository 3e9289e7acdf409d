/**
 * `npm run bench:abuse`: what one client that does what it should not does to everybody else. Three node processes; the abuse goes to node 1. A row each: the longest wait of a PING and of a GET at every node, whether leadership changed hands,
 * turns of the event loop with more than 50 ms of processor time and what held them, and the memory of the largest node.
 * A row begins when probes are answered as usual, and lasts until they are so again: what it has left behind, in queues and on the disk, is its own.
 * A row passes when nobody waited for more than 300 ms, no group changed its leader and no turn took more than 150 ms of processor time. The last is judged
 * by itself too, since it says something when the machine is busy.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { formatTable } from '../cmd/cli/table.ts';
import { type AbuseRow, Abuser } from './abuse/abuser.ts';
import { type Calm, type ProbeResult, Prober } from './abuse/prober.ts';
import { ABUSE_ROWS } from './abuse/rows.ts';
import { type LocalNodes, portOf, startLocalNodes } from './local-nodes.ts';
import { type BenchmarkOptions, benchmark, count, someOf } from './options.ts';
import { OthersWatch } from './others.ts';
import { conclude } from './results.ts';
import { type CpuLine, formatCpu, type RoleTimes, withRoleTimes } from './role-cpu.ts';
import { Scratch } from './scratch.ts';
import { verdictOf } from './spread.ts';

const MAX_WAIT_MS = 300;
const MAX_TURN_MS = 150;
/** What a row has caused is over when nobody waits for long any more, for a while; it counts as the row's until then. */
const CALM = { calmMs: 60, quietMs: 1_000 } as const;
const MIB = 1024 ** 2;
const KIB = 1024;
/** Costs of a row are told in milliseconds, not microseconds. */
const US_IN_MS = 1_000;
const LINE = /one turn took (\d+) ms of processor time: ([^"]+)"/;

interface Options extends BenchmarkOptions {
  readonly only?: readonly string[];
  readonly scale: number;
  readonly groups: number;
  readonly patience: number;
  readonly stacks?: boolean;
  readonly verbose?: boolean;
}

/** Turns that nodes have told of. */
interface ToldTurn {
  readonly node: number;
  readonly processorMs: number;
  readonly name: string;
}

interface Outcome {
  readonly row: AbuseRow;
  readonly outcome: string;
  /** What the row needs was there; else nothing was done. */
  readonly isPrepared: boolean;
  readonly seconds: number;
  readonly probes: ProbeResult;
  /** Others were served as usual again soon afterwards. */
  readonly isCalm: boolean;
  readonly leaderChanges: number;
  readonly turns: number;
  readonly longest: ToldTurn | undefined;
  readonly memoryMib: number;
  /** Of the nodes, milliseconds by thread. */
  readonly cpu: RoleTimes;
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

/** What nodes tell of turns, since it was last emptied. */
class ToldTurns {
  private turns: ToldTurn[] = [];

  /** @param line of a node's log */
  hear(node: number, line: string): void {
    const [, ms, name] = LINE.exec(line) ?? [];
    if (ms !== undefined) this.turns.push({ node, processorMs: Number(ms), name: name! });
  }

  empty(): void {
    this.turns = [];
  }

  get longest(): ToldTurn | undefined {
    return this.turns.toSorted((left, right) => right.processorMs - left.processorMs)[0];
  }
}

/** Runs one row after the other on one cluster. */
class Run {
  readonly others = new OthersWatch();
  private readonly nodes: LocalNodes;
  private readonly abuser: Abuser;
  private readonly prober: Prober;
  private readonly told: ToldTurns;
  private readonly calm: Calm;

  constructor(nodes: LocalNodes, abuser: Abuser, prober: Prober, told: ToldTurns, patienceMs: number) {
    this.nodes = nodes;
    this.abuser = abuser;
    this.prober = prober;
    this.told = told;
    this.calm = { ...CALM, patienceMs };
  }

  async row(row: AbuseRow): Promise<Outcome> {
    const { abuser, prober, calm, told } = this;
    const unprepared = await this.prepare(row);
    await prober.settles(calm);
    const members = await this.nodes.members();
    const metrics = members.map(({ addresses }) => addresses.metrics);
    const before = await this.terms();
    const turnsBefore = await heldTurns(metrics);
    for (const { pid } of members) peakBytes(pid);
    told.empty();
    prober.begin(row.emptiesAll === true);
    const startedMs = performance.now();
    const processes = [{ role: 'each node', pids: members.map(({ pid }) => pid) }];
    const { figures, cpu } = await this.others.during(() =>
      withRoleTimes(processes, async () => {
        const outcome = unprepared ?? (await row.act(abuser));
        const seconds = (performance.now() - startedMs) / 1000;
        return { outcome, seconds, isCalm: await prober.settles(calm), commands: US_IN_MS };
      }),
    );
    const { outcome, seconds, isCalm } = figures;
    const probes = await prober.end();
    const after = await this.terms();
    return {
      ...{ row, outcome, seconds, probes, isCalm, cpu },
      isPrepared: unprepared === undefined,
      leaderChanges: after.filter((term, at) => term !== before[at]).length,
      turns: (await heldTurns(metrics)) - turnsBefore,
      longest: told.longest,
      memoryMib: Math.max(...members.map(({ pid }) => peakBytes(pid))) / MIB,
    };
  }

  /** @returns why what the row needs could not be made; undefined: it is there */
  private async prepare(row: AbuseRow): Promise<string | undefined> {
    try {
      await row.prepare?.(this.abuser);
      return undefined;
    } catch (error) {
      return `not prepared: ${(error as Error).message}`;
    }
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
  outcome.isPrepared &&
  hasShortTurns(outcome);

const HEADING = ['', 'row', 'took', 'PING', 'GET', 'leaders', 'turns', 'longest turn', 'MiB', 'what', 'outcome'];

function cells(outcome: Outcome, isQuiet: boolean): string[] {
  const { row, seconds, probes, leaderChanges, turns, longest, memoryMib } = outcome;
  return [
    verdictOf(passes(outcome), isQuiet),
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

async function main(options: Options): Promise<number> {
  const { only, scale, groups, patience, stacks = false, verbose = false, folder } = options;
  const rows = ABUSE_ROWS.filter(({ name }) => only === undefined || only.includes(name));
  const scratch = new Scratch(folder);
  const told = new ToldTurns();
  const outcomes: Outcome[] = [];
  let others = new OthersWatch();
  try {
    const nodes = await startLocalNodes(scratch, {
      nodes: 3,
      groups,
      flags: { loopWatch: stacks ? 'stacks' : 'on' },
      onLine: (node, line) => {
        if (verbose || stacks) console.error(`n${node} | ${line}`);
        told.hear(node, line);
      },
    });
    const ports = (await nodes.members()).map(({ addresses }) => portOf(addresses.redis));
    const abuser = new Abuser(ports, scale);
    const prober = await Prober.start(ports, (key, value) => abuser.call('SET', key, value));
    scratch.own(() => prober.stop());
    const run = new Run(nodes, abuser, prober, told, patience * 1000);
    others = run.others;
    for (const row of rows) {
      const outcome = await run.row(row);
      outcomes.push(outcome);
      console.error(cells(outcome, others.isQuiet).join('  '));
    }
  } finally {
    await scratch.clean();
  }
  const costs = outcomes.map(({ row, cpu }): CpuLine => ({ load: row.name, system: 'kvorum', rounds: [cpu] }));
  const verdict = (text: string, passed: number, isQuiet: boolean) => ({
    text: `${passed} of ${outcomes.length} rows ${text}`,
    passed: passed === outcomes.length,
    isQuiet,
  });
  const served = `hold: nobody waited more than ${MAX_WAIT_MS} ms, no leader changed`;
  return conclude(
    {
      name: 'abuse',
      facts: { scale, groups, outcomes },
      tables: [
        formatTable([HEADING, ...outcomes.map((outcome) => cells(outcome, others.isQuiet))]),
        formatCpu(costs, 'ms of CPU of a row'),
      ],
      verdicts: [
        verdict(served, outcomes.filter(passes).length, others.isQuiet),
        verdict(`have no turn of more than ${MAX_TURN_MS} ms`, outcomes.filter(hasShortTurns).length, true),
      ],
      others,
    },
    options,
  );
}

const NAMES = ABUSE_ROWS.map(({ name }) => name);
const program = benchmark({
  script: 'bench:abuse',
  says: 'Measures what one client that does what it should not does to everybody else. A row is run once: what was quiet is known by what others used.',
  peers: 'nobody. redis-server has one thread and no leaders: it holds everybody up for as long as a command takes.',
})
  .option('--only <rows>', `comma-separated: ${NAMES.join(', ')}`, someOf(NAMES))
  .option('--scale <factor>', 'of what rows are as large as they are meant to be', count(100), 1)
  .option('--groups <count>', 'of data', count(100), 3)
  .option('--patience <seconds>', 'how long others may take until they are served as usual again', count(3600), 30)
  .option('--stacks', 'which functions held a turn up')
  .option('--verbose', 'what the nodes say');
program.parse();
process.exit(await main(program.opts<Options>()));
