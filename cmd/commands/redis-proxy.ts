/** `kvorum redis-proxy`: between clients and a Redis that a cluster is to replace. */
import { type Command, Option } from 'commander';
import { CommandFailure } from '../cli/failure.ts';
import { type Endpoint, parseTargets } from '../cli/option-values.ts';
import { formatCount, formatTable } from '../cli/table.ts';
import {
  DEFAULT_DRAIN_MS,
  DEFAULT_SETTLE_MS,
  MODES,
  type Mode,
  type ProxyReport,
  ProxyState,
  RedisProxy,
  reportOf,
  startProxyAdmin,
} from '../proxy/index.ts';
import {
  addSecurityOptions,
  parseServer,
  type SecurityFlags,
  type ServerAddress,
  securityOf,
  serverSecurityOf,
} from '../redis/index.ts';

const EXAMPLES = `
Examples:
  kvorum redis-proxy run --redis redis://old.example:6379 --kvorum node1:6379,node2:6379 --listen 0.0.0.0:6380
      passes everything on to the old server; clients use port 6380 from now on
  kvorum redis-proxy mode dual-write-shadow
      the old server answers, the cluster is told each write and asked each read, answers are compared
  kvorum redis-proxy report
      what differs
  kvorum redis-proxy mode kvorum-primary
      the cluster answers, the old server is told each write, so that there is a way back

docs/operations.md has the whole way, step by step.`;

const DEFAULT_ADMIN = '127.0.0.1:9380';
const DEFAULT_STATE = 'redis-proxy.json';
const FIRST_MODE: Mode = 'redis-only';

interface RunFlags extends SecurityFlags {
  readonly redis: ServerAddress;
  readonly fromPasswordFile?: string;
  readonly fromTlsCa?: string;
  readonly kvorum: Endpoint[];
  readonly listen: Endpoint[];
  readonly admin: Endpoint[];
  readonly mode?: Mode;
  readonly state: string;
}

interface AskFlags {
  readonly admin: Endpoint[];
  readonly all?: true;
  readonly ifPaused?: true;
  readonly json?: true;
}

/** Adds the command. */
export function addRedisProxyCommand(program: Command): void {
  const proxy = program
    .command('redis-proxy')
    .summary('stand between clients and a Redis that a cluster is to replace')
    .description('Passes commands on to a Redis, to a cluster, or to both, and compares.')
    .addHelpText('after', EXAMPLES);
  const run = proxy
    .command('run')
    .summary('run a proxy')
    .requiredOption(
      '--redis <url>',
      'the old server: redis://[user:password@]host:port, or rediss:// for TLS',
      parseServer,
    )
    .option('--from-password-file <file>', 'file whose first line is the password of the old server')
    .option('--from-tls-ca <file>', 'authorities (PEM) that the certificate of the old server must lead to')
    .option('--kvorum <host:port,...>', 'nodes of the cluster', parseTargets, [{ host: '127.0.0.1', port: 6379 }])
    .option('--listen <host:port>', 'where clients connect', parseTargets, [{ host: '127.0.0.1', port: 6380 }])
    .option(
      '--state <file>',
      `where it is kept over restarts which side answers and which keys may differ (default: ${DEFAULT_STATE})`,
      DEFAULT_STATE,
    )
    .addOption(
      new Option('--mode <mode>', `which side answers (default: as in the state, at first ${FIRST_MODE})`).choices(
        MODES,
      ),
    );
  addSecurityOptions(withAdmin(run));
  run.configureHelp(PLAIN_DEFAULTS).action(runProxy);
  ask(proxy, 'report', 'what differs between the two sides', 'GET', '/report');
  ask(proxy, 'pause', 'let no command begin, for a minute at most, and wait for those that have', 'POST', '/pause');
  ask(proxy, 'resume', 'let commands begin again', 'POST', '/resume');
  withAdmin(proxy.command('repair').summary('copy keys that may differ from the side that answers to the other one'))
    .description(
      'Copies keys that may differ from the side that answers to the other one. When nobody knows which keys those are, or with --all, ' +
        'every key of both sides is compared.',
    )
    .option('--all', 'compare every key of both sides')
    .option('--json', 'print the report as JSON')
    .configureHelp(PLAIN_DEFAULTS)
    .action((flags: AskFlags) => askProxy(flags, 'POST', flags.all ? '/repair?all' : '/repair'));
  withAdmin(proxy.command('mode').argument('<mode>', MODES.join(', ')).summary('change which side answers'))
    .option('--if-paused', 'only if a pause that was begun lasts still')
    .option('--json', 'print the report as JSON')
    .configureHelp(PLAIN_DEFAULTS)
    .action((mode: string, flags: AskFlags) =>
      askProxy(flags, 'POST', `/mode?to=${encodeURIComponent(mode)}${flags.ifPaused ? '&paused' : ''}`),
    );
}

const PLAIN_DEFAULTS = { optionDescription: ({ description }: Option) => description };

const withAdmin = (command: Command): Command =>
  command.addOption(
    new Option(
      '--admin <host:port>',
      `where the proxy listens for operators (env KVORUM_PROXY_ADMIN; default: ${DEFAULT_ADMIN})`,
    )
      .argParser(parseTargets)
      .default(parseTargets(DEFAULT_ADMIN))
      .env('KVORUM_PROXY_ADMIN'),
  );

function ask(proxy: Command, name: string, summary: string, method: 'GET' | 'POST', path: string): void {
  withAdmin(proxy.command(name).summary(summary).description(summary))
    .option('--json', 'print the report as JSON')
    .configureHelp(PLAIN_DEFAULTS)
    .action((flags: AskFlags) => askProxy(flags, method, path));
}

async function runProxy(flags: RunFlags): Promise<void> {
  const security = await securityOf(flags, process.env);
  const [listen, admin] = [flags.listen[0]!, flags.admin[0]!];
  const redisSecurity = await serverSecurityOf(flags.redis, flags.fromPasswordFile, flags.fromTlsCa);
  const state = await ProxyState.open(flags.state).catch((error: Error) => {
    throw new CommandFailure(error.message);
  });
  const mode = state.mode ?? flags.mode ?? FIRST_MODE;
  if (flags.mode !== undefined && flags.mode !== mode)
    throw new CommandFailure(
      `the last proxy ended in mode ${mode} (${flags.state}); start this one without --mode, then change it with \`redis-proxy mode\``,
    );
  const proxy = await RedisProxy.start({
    ...listen,
    upstreams: {
      redis: { targets: [flags.redis], security: redisSecurity },
      kvorum: { targets: flags.kvorum, security },
    },
    mode,
    nowMs: Date.now,
    drainMs: DEFAULT_DRAIN_MS,
    settleMs: DEFAULT_SETTLE_MS,
    state,
  }).catch((error: Error) => {
    throw new CommandFailure(
      `cannot listen at ${listen.host}:${listen.port}, or write ${flags.state}: ${error.message}`,
    );
  });
  const server = await startProxyAdmin(proxy, admin.host, admin.port).catch(async (error: Error) => {
    await proxy.stop();
    throw new CommandFailure(`cannot listen at ${admin.host}:${admin.port}: ${error.message}`);
  });
  console.log(
    `clients: ${listen.host}:${proxy.port}, operators: http://${admin.host}:${admin.port}/report, mode: ${proxy.mode}`,
  );
  const stop = (): void => {
    server.close();
    server.closeAllConnections();
    proxy.stop().then(
      () => console.log(tableOf(reportOf(proxy))),
      (error: Error) => {
        console.error(`which keys may differ was not kept: ${error.message}`);
        process.exitCode = 1;
      },
    );
  };
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
}

async function askProxy({ admin, json }: AskFlags, method: 'GET' | 'POST', path: string): Promise<void> {
  const { host, port } = admin[0]!;
  let response: Response;
  try {
    response = await fetch(`http://${host}:${port}${path}`, { method });
  } catch {
    throw new CommandFailure(
      `no proxy answers at ${host}:${port}; name the place where it listens for operators with --admin`,
    );
  }
  const text = await response.text();
  if (!response.ok) throw new CommandFailure(text.trim());
  console.log(json ? text.trim() : tableOf(JSON.parse(text) as ProxyReport));
}

function tableOf(report: ProxyReport): string {
  const { differences, examples, hasUnnamed } = report;
  const rows: [string, string][] = [
    ['mode', report.isPaused ? `${report.mode}, paused` : report.mode],
    ['since', report.since],
    ['clients', formatCount(report.connections)],
    ['commands', formatCount(report.commands)],
    ['writes that the second side has', formatCount(report.mirrored)],
    ['second side behind by', formatCount(report.behind)],
    ['answers compared', formatCount(report.compared)],
    ...Object.entries(differences).map(([kind, count]): [string, string] => [`different: ${kind}`, formatCount(count)]),
    ['writes that the second side was not told', formatCount(report.dropped)],
    ['writes of unknown outcome there', formatCount(report.lost)],
    ['writes that were never answered', formatCount(report.unanswered)],
    ['commands that nobody knows', formatCount(report.unknown)],
    ['keys that may differ', `${formatCount(report.dirtyKeys)}${hasUnnamed ? ' and unknown ones' : ''}`],
    ['keys repaired', formatCount(report.repaired)],
  ];
  const table = formatTable(rows, ['left', 'right']);
  return examples.length === 0 ? table : `${table}\nfor example:\n${examples.map((line) => `  ${line}`).join('\n')}`;
}
