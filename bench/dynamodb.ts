/**
 * `npm run bench:dynamodb`: the core workloads of YCSB and single requests, signed and over HTTP, on a kvorum cluster of three beside dynalite, which
 * keeps everything in the memory of one process and looks at no signature, and beside a server that does nothing at all, on this machine, in one run. The
 * systems take turns, round by round, under the same load of the same process. Then where the CPU time of a request goes on a node. Everything is on loopback and ends by itself; the figures are kept in
 * bench/results.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError } from 'commander';
import { formatCount } from '../cmd/cli/table.ts';
import { cpuSecondsOf } from './cpu.ts';
import { runHttpLoad } from './dynamodb/http-load.ts';
import { prepareTable } from './dynamodb/prepare.ts';
import { type ProfiledMeasure, profileRequests } from './dynamodb/profiled-node.ts';
import { type DynamoSample, type DynamoSystem, dynamoRows, formatDynamo } from './dynamodb/report.ts';
import { KEY, RequestSigner } from './dynamodb/signed-request.ts';
import { DYNAMO_MEASURES, type DynamoMeasure, operationsOf, tableName } from './dynamodb/ycsb.ts';
import { type LocalNodes, portOf, startLocalNodes } from './local-nodes.ts';
import { machine, rotated } from './machine.ts';
import { count } from './options.ts';
import { freePortRange, Scratch } from './scratch.ts';
import { sumOf, type ThreadClock, type ThreadTimes, threadClock, timesBetween, totalTimes } from './thread-cpu.ts';

interface DynamoOptions {
  readonly rounds: number;
  readonly seconds: number;
  readonly records: number;
  readonly connections: number;
  readonly through: 'leader' | 'all';
  readonly quick?: boolean;
  readonly only?: readonly DynamoMeasure[];
  readonly profile: boolean;
  readonly folder?: string;
  readonly json?: boolean;
}

const NODES = 3;
const WARM_UP_SECONDS = 5;
const START_TIMEOUT_MS = 30_000;
const QUICK_RECORDS = 200;
/** Requests to who has no tables: the ones that cost least. */
const BARE_MEASURE: DynamoMeasure = 'getItem';
const MEASURES = Object.keys(DYNAMO_MEASURES) as DynamoMeasure[];

/** A system that is up. */
interface Started {
  /** Where clients connect to. */
  readonly ports: readonly number[];
  /** Processes that clients talk to, and those behind them. */
  readonly asked: readonly number[];
  readonly behind: readonly number[];
}

/** What is needed of a system. */
interface Target {
  readonly system: DynamoSystem;
  /** Has tables, which every measure needs; what has none is asked for items all the same. */
  readonly hasTables: boolean;
  start(): Promise<Started>;
  stop(): Promise<void>;
}

class KvorumTarget implements Target {
  readonly system = 'kvorum';
  readonly hasTables = true;
  private readonly scratch: Scratch;
  private readonly through: DynamoOptions['through'];
  private nodes: LocalNodes | undefined;

  constructor(scratch: Scratch, through: DynamoOptions['through']) {
    this.scratch = scratch;
    this.through = through;
  }

  async start(): Promise<Started> {
    const flags = {
      'dynamodb.port': await freePortRange(NODES),
      'dynamodb.accessKeyId': KEY.accessKeyId,
      'dynamodb.secretAccessKey': KEY.secretAccessKey,
    };
    // One group has all tables: what one leader can do is the question.
    this.nodes = await startLocalNodes(this.scratch, { nodes: NODES, groups: 0, flags });
    const members = await this.nodes.members();
    const leader = members[0]!.groups.at(-1)!.leader;
    const chosen = members.filter(({ nodeId }) => this.through === 'all' || nodeId === leader);
    const behind = members.filter((member) => !chosen.includes(member));
    return {
      ports: chosen.map(({ addresses }) => portOf(addresses.dynamodb!)),
      asked: chosen.map(({ pid }) => pid),
      behind: behind.map(({ pid }) => pid),
    };
  }

  async stop(): Promise<void> {
    await this.nodes?.stop();
    this.nodes = undefined;
  }
}

/** A server in a process of its own, in the memory of which everything is. */
class ProcessTarget implements Target {
  readonly system: DynamoSystem;
  readonly hasTables: boolean;
  private readonly scratch: Scratch;
  private server: ReturnType<Scratch['serve']> | undefined;

  constructor(scratch: Scratch, system: 'dynalite' | 'bare') {
    this.scratch = scratch;
    this.system = system;
    this.hasTables = system === 'dynalite';
  }

  async start(): Promise<Started> {
    const port = await freePortRange(1);
    const args = this.hasTables
      ? [fileURLToPath(import.meta.resolve('dynalite/cli.js')), '--port', String(port), '--createTableMs', '0']
      : [fileURLToPath(new URL('./dynamodb/bare-server.ts', import.meta.url)), String(port)];
    this.server = this.scratch.serve(process.execPath, args);
    const giveUpMs = performance.now() + START_TIMEOUT_MS;
    while (!(await answers(port))) {
      if (performance.now() > giveUpMs) throw new Error(`${this.system} does not answer`);
    }
    return { ports: [port], asked: [this.server.pid], behind: [] };
  }

  async stop(): Promise<void> {
    await this.server?.kill();
    this.server = undefined;
  }
}

const answers = (port: number): Promise<boolean> =>
  fetch(`http://127.0.0.1:${port}/`).then(
    () => true,
    () => false,
  );

/** Measures a system once. */
async function round(target: Target, options: DynamoOptions, samples: DynamoSample[]): Promise<void> {
  const { seconds, connections, records } = options;
  const { ports, asked, behind } = await target.start();
  try {
    const prepared = new Set<string>();
    for (const measure of options.only ?? MEASURES) {
      if (!target.hasTables && measure !== BARE_MEASURE) continue;
      if (target.hasTables && !prepared.has(tableName(measure))) await prepareTable(ports[0]!, measure, records);
      prepared.add(tableName(measure));
      const load = async (length: number) => {
        // A signature names the port, and is good for a quarter of an hour.
        const operations = operationsOf(new RequestSigner(ports[0]!, Date.now()), measure, records, 2);
        return runHttpLoad({ ports, connections, operations, seconds: length });
      };
      await load(options.quick ? 0.2 : WARM_UP_SECONDS);
      const [beforeAsked, beforeBehind] = [asked.map(threadClock), behind.map(threadClock)];
      const beforeClient = cpuSecondsOf(process.pid);
      const { perSecond, requests, p50Ms, p99Ms, clientBusy = Number.NaN } = await load(seconds);
      const used = (pids: readonly number[], before: readonly ThreadClock[]): ThreadTimes =>
        totalTimes(pids.map((pid, at) => timesBetween(before[at]!, threadClock(pid), requests)));
      const cpuUs = {
        asked: used(asked, beforeAsked),
        behind: used(behind, beforeBehind),
        client: ((cpuSecondsOf(process.pid) - beforeClient) * 1e6) / requests,
      };
      samples.push({ measure, system: target.system, perSecond, p50Ms, p99Ms, clientBusy, cpuUs });
      const shown = [sumOf(cpuUs.asked), sumOf(cpuUs.behind), cpuUs.client].map((us) => us.toFixed(0)).join(', ');
      console.error(
        `  ${target.system.padEnd(8)}  ${DYNAMO_MEASURES[measure].title}: ${formatCount(perSecond)}/s, p99 ${p99Ms.toFixed(1)} ms, ` +
          `µs of CPU a request of who is asked, of followers, of the client: ${shown}`,
      );
    }
  } finally {
    await target.stop();
  }
}

function measureList(text: string): DynamoMeasure[] {
  const names = text.split(',') as DynamoMeasure[];
  if (names.some((name) => !MEASURES.includes(name)))
    throw new InvalidArgumentError(`Known are ${MEASURES.join(', ')}.`);
  return names;
}

function way(text: string): DynamoOptions['through'] {
  if (text !== 'leader' && text !== 'all') throw new InvalidArgumentError('It must be leader or all.');
  return text;
}

async function main(given: DynamoOptions): Promise<number> {
  const options = given.quick ? { ...given, rounds: 1, seconds: 1, records: QUICK_RECORDS } : given;
  const scratch = new Scratch(options.folder);
  const samples: DynamoSample[] = [];
  let profiled: readonly ProfiledMeasure[] = [];
  try {
    for (let at = 0; at < options.rounds; at++) {
      console.error(`round ${at + 1} of ${options.rounds}`);
      const targets = [
        new KvorumTarget(scratch, options.through),
        ...(['dynalite', 'bare'] as const).map((system) => new ProcessTarget(scratch, system)),
      ];
      for (const target of rotated<Target>(targets, at)) await round(target, options, samples);
    }
    if (options.profile) profiled = await profileRequests(scratch, options);
  } finally {
    await scratch.clean();
  }
  const rows = dynamoRows(samples);
  const at = new Date().toISOString();
  const { rounds, seconds, records, connections, through } = options;
  const settings = { rounds, secondsPerLoad: seconds, records, connections, through };
  const result = { at, machine: machine(), ...settings, rows, samples, profiled };
  const written = new URL(`./results/dynamodb-${at.replaceAll(':', '-').slice(0, 19)}.json`, import.meta.url);
  mkdirSync(new URL('./results/', import.meta.url), { recursive: true });
  writeFileSync(written, `${JSON.stringify(result, undefined, 2)}\n`);
  if (options.json) console.log(JSON.stringify(result, undefined, 2));
  else
    console.log(`\n${formatDynamo(rows, profiled)}\n\nWritten to bench/results/${written.pathname.split('/').at(-1)}`);
  return rows.some(({ passed, isQuiet }) => isQuiet && passed === false) ? 1 : 0;
}

const program = new Command('npm run bench:dynamodb --')
  .description('Measures the DynamoDB interface beside dynalite; exits with 1 when a bar is missed.')
  .option('-r, --rounds <count>', 'rounds; medians are compared', count(100), 3)
  .option('-s, --seconds <seconds>', 'length of each load', count(600), 5)
  .option('--records <count>', 'records of a table, about 1 KB each', count(1e6), 10_000)
  .option('-c, --connections <count>', 'connections, one request at a time on each', count(1_000), 32)
  .option('--through <nodes>', 'the node that leads, or all three', way, 'leader')
  .option('-q, --quick', 'one round of one second a load, few records: shows that everything works, not what is fast')
  .option('--only <measures>', 'comma-separated names of measures', measureList)
  .option('--no-profile', 'without the split of the CPU time')
  .option('--folder <folder>', 'where the data goes: its disk is what is measured (default: the temporary folder)')
  .option('--json', 'print the result file instead of the tables');
program.parse();
process.exit(await main(program.opts<DynamoOptions>()));
