/** What an operator asks of a proxy, over HTTP on this machine. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Gauge, Registry } from 'prom-client';
import { isMode, MODES } from './mode.ts';
import { ModeChangeError, type RedisProxy } from './proxy.ts';

/** What a proxy says of itself. */
export interface ProxyReport {
  readonly mode: string;
  readonly isPaused: boolean;
  readonly since: string;
  readonly connections: number;
  readonly commands: number;
  readonly mirrored: number;
  readonly compared: number;
  readonly behind: number;
  readonly dropped: number;
  readonly lost: number;
  /** Writes whose outcome on the side that answers is not known. */
  readonly unanswered: number;
  readonly unknown: number;
  readonly differences: Readonly<Record<string, number>>;
  readonly dirtyKeys: number;
  /** More keys may differ than are counted, and nobody knows which. */
  readonly hasUnnamed: boolean;
  readonly repaired: number;
  readonly examples: readonly string[];
}

/** What a proxy says of itself now. */
export function reportOf(proxy: RedisProxy): ProxyReport {
  const {
    commands,
    mirrored,
    compared,
    dropped,
    lost,
    unanswered,
    unknown,
    differences,
    dirtyKeys,
    hasUnnamed,
    repaired,
    examples,
  } = proxy.report;
  const { mode, isPaused, connections, behind } = proxy;
  const since = new Date(proxy.report.sinceMs).toISOString();
  return {
    ...{ mode, isPaused, since, connections, commands, mirrored, compared, behind, dropped, lost },
    ...{ unanswered, unknown, differences, dirtyKeys, hasUnnamed, repaired, examples },
  };
}

/** Metrics, each with how it is read. */
const METRICS: readonly (readonly [string, string, (report: ProxyReport) => number])[] = [
  ['connections', 'Clients that are connected.', ({ connections }) => connections],
  ['commands', 'Commands of clients.', ({ commands }) => commands],
  ['mirrored_writes', 'Writes that the second side has answered.', ({ mirrored }) => mirrored],
  ['compared_replies', 'Answers of both sides that were compared.', ({ compared }) => compared],
  ['behind_commands', 'Commands that the second side has not answered.', ({ behind }) => behind],
  ['dropped_writes', 'Writes that the second side was never told.', ({ dropped }) => dropped],
  ['lost_writes', 'Writes whose outcome on the second side is not known.', ({ lost }) => lost],
  ['unanswered_writes', 'Writes whose outcome on the side that answers is not known.', ({ unanswered }) => unanswered],
  ['unknown_commands', 'Commands that nobody here knows.', ({ unknown }) => unknown],
  ['dirty_keys', 'Keys that may differ.', ({ dirtyKeys }) => dirtyKeys],
  [
    'unnamed_dirty_keys',
    '1 when more keys may differ, and nobody knows which.',
    ({ hasUnnamed }) => (hasUnnamed ? 1 : 0),
  ],
  ['repaired_keys', 'Keys that were copied to the second side.', ({ repaired }) => repaired],
];

function metricsOf(proxy: RedisProxy): Promise<string> {
  const registry = new Registry();
  const report = reportOf(proxy);
  for (const [name, help, read] of METRICS)
    new Gauge({ name: `kvorum_proxy_${name}`, help, registers: [registry] }).set(read(report));
  const differences = new Gauge({
    name: 'kvorum_proxy_differences',
    help: 'Answers that differ.',
    labelNames: ['kind'],
    registers: [registry],
  });
  for (const [kind, count] of Object.entries(report.differences)) differences.set({ kind }, count);
  const mode = new Gauge({
    name: 'kvorum_proxy_mode',
    help: '1 for the mode that it is in.',
    labelNames: ['mode'],
    registers: [registry],
  });
  for (const each of MODES) mode.set({ mode: each }, each === report.mode ? 1 : 0);
  return registry.metrics();
}

async function answer(proxy: RedisProxy, request: IncomingMessage): Promise<readonly [number, string]> {
  const url = new URL(request.url ?? '/', 'http://localhost');
  const json = (): readonly [number, string] => [200, `${JSON.stringify(reportOf(proxy), undefined, 2)}\n`];
  switch (`${request.method} ${url.pathname}`) {
    case 'GET /report':
      return json();
    case 'GET /metrics':
      return [200, await metricsOf(proxy)];
    case 'POST /mode': {
      const mode = url.searchParams.get('to') ?? '';
      if (!isMode(mode)) return [400, `there is no mode ${mode}; there are ${MODES.join(', ')}\n`];
      await proxy.change(mode, url.searchParams.has('paused'));
      return json();
    }
    case 'POST /pause':
      await proxy.pause();
      return json();
    case 'POST /resume':
      proxy.resume();
      return json();
    case 'POST /repair':
      await proxy.repair(url.searchParams.has('all'));
      return json();
    default:
      return [
        404,
        'there are GET /report, GET /metrics, POST /mode?to=..., POST /pause, POST /resume and POST /repair\n',
      ];
  }
}

/** Listens for operators. @throws the system's error when the port is taken */
export async function startProxyAdmin(proxy: RedisProxy, host: string, port: number): Promise<Server> {
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    answer(proxy, request).then(
      ([status, text]) => response.writeHead(status).end(text),
      (error: Error) => response.writeHead(error instanceof ModeChangeError ? 409 : 500).end(`${error.message}\n`),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return server;
}
