/**
 * `npm run bench:dynamodb`: the core workloads of YCSB and single requests, signed and over HTTP, on a kvorum cluster of three beside dynalite, which
 * keeps everything in the memory of one process and looks at no signature, and beside a server that does nothing at all, on this machine, in one run. The
 * systems take turns, round by round, under the same load of the same process. Writes of tables whose indexes another node leads have a cluster of their
 * own. Then where the CPU time of a request goes on a node. Everything is on loopback and ends by itself; the figures are kept in bench/results.
 */
import { fileURLToPath } from 'node:url';
import { formatCount } from '../cmd/cli/table.ts';
import { cpuSecondsOf } from './cpu.ts';
import { runHttpLoad } from './dynamodb/http-load.ts';
import { GROUPS, leadIndexesElsewhere } from './dynamodb/index-groups.ts';
import { prepareTable } from './dynamodb/prepare.ts';
import { type ProfiledMeasure, profileRequests } from './dynamodb/profiled-node.ts';
import { type DynamoSample, type DynamoSystem, dynamoRows, formatDynamo } from './dynamodb/report.ts';
import { KEY, RequestSigner } from './dynamodb/signed-request.ts';
import {
  DYNAMO_MEASURES,
  type DynamoMeasure,
  ELSEWHERE,
  isElsewhere,
  operationsOf,
  tableName,
} from './dynamodb/ycsb.ts';
import { type LocalNodes, portOf, startLocalNodes } from './local-nodes.ts';
import { rotated } from './machine.ts';
import { type BenchmarkOptions, benchmark, count, oneOf, someOf } from './options.ts';
import { OthersWatch } from './others.ts';
import { conclude } from './results.ts';
import { freePortRange, Scratch } from './scratch.ts';
import { sumOf, type ThreadClock, type ThreadTimes, threadClock, timesBetween, totalTimes } from './thread-cpu.ts';

const WAYS = ['leader', 'all'] as const;

interface DynamoOptions extends BenchmarkOptions {
  readonly records: number;
  readonly connections: number;
  readonly through: (typeof WAYS)[number];
  readonly only?: readonly DynamoMeasure[];
  readonly profile: boolean;
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
  /** Is there for this measure. */
  takes(measure: DynamoMeasure): boolean;
  start(): Promise<Started>;
  stop(): Promise<void>;
}

class KvorumTarget implements Target {
  readonly system = 'kvorum';
  readonly hasTables = true;
  private readonly scratch: Scratch;
  private readonly through: DynamoOptions['through'];
  private readonly elsewhere: boolean;
  private nodes: LocalNodes | undefined;

  /** @param elsewhere another node leads the indexes of tables */
  constructor(scratch: Scratch, through: DynamoOptions['through'], elsewhere: boolean) {
    this.scratch = scratch;
    this.through = through;
    this.elsewhere = elsewhere;
  }

  takes(measure: DynamoMeasure): boolean {
    return isElsewhere(measure) === this.elsewhere;
  }

  async start(): Promise<Started> {
    const flags = {
      'dynamodb.port': await freePortRange(NODES),
      'dynamodb.accessKeyId': KEY.accessKeyId,
      'dynamodb.secretAccessKey': KEY.secretAccessKey,
    };
    // Otherwise one group has all tables: what one leader can do is the question.
    const groups = this.elsewhere ? GROUPS : 0;
    this.nodes = await startLocalNodes(this.scratch, { nodes: NODES, groups, flags });
    const members = await this.nodes.members();
    const leader = this.elsewhere
      ? await leadIndexesElsewhere(this.nodes, ELSEWHERE.length)
      : members[0]!.groups.at(-1)!.leader;
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

  takes(measure: DynamoMeasure): boolean {
    return this.hasTables || measure === BARE_MEASURE;
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
async function round(
  target: Target,
  options: DynamoOptions,
  samples: DynamoSample[],
  others: OthersWatch,
): Promise<void> {
  const { seconds, connections, records } = options;
  const measures = (options.only ?? MEASURES).filter((measure) => target.takes(measure));
  if (measures.length === 0) return;
  const { ports, asked, behind } = await target.start();
  try {
    const prepared = new Set<string>();
    for (const measure of measures) {
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
      const figures = await others.during(() => load(seconds));
      const { perSecond, requests, p50Ms, p99Ms, clientBusy = Number.NaN, repeated } = figures;
      if (repeated > 0) console.error(`  ${repeated} requests were sent again: their outcome was not known`);
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
          `µs of CPU a request of who is asked, of other nodes, of the client: ${shown}`,
      );
    }
  } finally {
    await target.stop();
  }
}

async function main(given: DynamoOptions): Promise<number> {
  const options = given.quick ? { ...given, rounds: 1, seconds: 1, records: QUICK_RECORDS } : given;
  const scratch = new Scratch(options.folder);
  const samples: DynamoSample[] = [];
  const others = new OthersWatch();
  let profiled: readonly ProfiledMeasure[] = [];
  try {
    for (let at = 0; at < options.rounds; at++) {
      console.error(`round ${at + 1} of ${options.rounds}`);
      const targets = [
        new KvorumTarget(scratch, options.through, false),
        new KvorumTarget(scratch, options.through, true),
        ...(['dynalite', 'bare'] as const).map((system) => new ProcessTarget(scratch, system)),
      ];
      for (const target of rotated<Target>(targets, at)) await round(target, options, samples, others);
    }
    if (options.profile) profiled = await profileRequests(scratch, options);
  } finally {
    await scratch.clean();
  }
  const rows = dynamoRows(samples, others.isQuiet);
  const { rounds, seconds, records, connections, through } = options;
  const settings = { rounds, secondsPerLoad: seconds, records, connections, through };
  return conclude(
    {
      name: 'dynamodb',
      facts: { ...settings, rows, samples, profiled },
      tables: [formatDynamo(rows, profiled)],
      verdicts: [],
      judged: rows,
      others,
    },
    options,
  );
}

const program = benchmark({
  script: 'bench:dynamodb',
  says: 'Measures the DynamoDB interface.',
  peers:
    'dynalite, which keeps everything in the memory of one process and has no groups, and a server that does nothing.',
  rounds: 3,
  seconds: 5,
  quick: 'one round of one second a load, few records',
})
  .option('--records <count>', 'records of a table, about 1 KB each', count(1e6), 10_000)
  .option('-c, --connections <count>', 'connections, one request at a time on each', count(1_000), 32)
  .option('--through <nodes>', 'the node that leads, or all three', oneOf(WAYS), 'leader')
  .option('--only <measures>', `comma-separated: ${MEASURES.join(', ')}`, someOf(MEASURES))
  .option('--no-profile', 'without the split of the CPU time');
program.parse();
process.exit(await main(program.opts<DynamoOptions>()));
