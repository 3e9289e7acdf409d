/** LATENCY: spikes of latency by event, and how long commands take. */
import { type ClientSession, type DeclaredCommand, defineCommands } from '../../command/index.ts';
import { MapReply, RedisError, type Reply, VerbatimReply } from '../../protocol/index.ts';
import { type LatencySample, sparkline } from '../../telemetry/index.ts';
import { declareWith } from '../declare.ts';
import { helpCommand } from '../help.ts';
import { latencyReport } from './latency-report.ts';

const GRAPH_COLUMNS = 80;

const pair = ({ atSeconds, tookMs }: LatencySample): Reply => [atSeconds, tookMs];

function latest({ server }: ClientSession): Reply {
  return [...server.watch.latency.all()].map(([event, { samples, longestMs }]) => {
    const { atSeconds, tookMs } = samples.at(-1)!;
    return [event, atSeconds, tookMs, longestMs];
  });
}

function reset({ server }: ClientSession, events: readonly Buffer[]): Reply {
  const { latency } = server.watch;
  const names = events.length === 0 ? [...latency.all().keys()] : events.map((event) => event.toString('latin1'));
  return names.filter((name) => latency.forget(name)).length;
}

/** How long ago, in one unit. */
function ago(seconds: number): string {
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}m`;
  return seconds < 86_400 ? `${Math.floor(seconds / 3_600)}h` : `${Math.floor(seconds / 86_400)}d`;
}

function graph({ server }: ClientSession, argument: Buffer): Reply {
  const event = argument.toString('latin1');
  const series = server.watch.latency.find(event);
  if (series === undefined) throw new RedisError(`ERR No samples available for event '${event}'`);
  const nowSeconds = Math.floor(server.clock.nowMs() / 1000);
  const columns = series.samples.map(({ atSeconds, tookMs }) => ({
    value: tookMs,
    label: ago(Math.max(0, nowSeconds - atSeconds)),
  }));
  const values = columns.map(({ value }) => value);
  const range = `high ${Math.max(...values)} ms, low ${Math.min(...values)} ms`;
  const title = `${event} - ${range} (all time high ${series.longestMs} ms)`;
  return new VerbatimReply(`${title}\n${'-'.repeat(GRAPH_COLUMNS)}\n${sparkline(columns, GRAPH_COLUMNS)}`);
}

/** Commands that were called, of those that are named: of a container all that it has. */
function tracked({ server: { table } }: ClientSession, names: readonly Buffer[]): readonly DeclaredCommand[] {
  const isAsked = (command: DeclaredCommand): boolean => command.counters.histogram !== undefined;
  if (names.length === 0) return [...table.callable()].filter(isAsked);
  return names.flatMap((name) => {
    const command = table.findByFullName(name.toString('latin1'));
    if (command === undefined) return [];
    return [command, ...(command.subcommands?.values() ?? [])].filter(isAsked);
  });
}

function histogram(session: ClientSession, names: readonly Buffer[]): Reply {
  const commands = tracked(session, names).map(({ fullName, counters }): [Reply, Reply] => {
    const steps = counters.histogram!.steps().map(({ micros, calls }): [Reply, Reply] => [micros, calls]);
    return [
      fullName,
      new MapReply([
        ['calls', counters.histogram!.calls],
        ['histogram_usec', new MapReply(steps)],
      ]),
    ];
  });
  return new MapReply(commands);
}

const sub = declareWith({
  group: 'server',
  flags: ['admin', 'noscript', 'loading', 'stale'],
  complexity: 'O(1)',
});

export const latencyCommands = defineCommands([
  {
    name: 'latency',
    arity: -2,
    flags: [],
    group: 'server',
    since: '2.8.13',
    summary: 'Has the latency commands.',
    complexity: 'That of the subcommand',
    subcommands: [
      sub({
        name: 'doctor',
        arity: 2,
        since: '2.8.13',
        summary: 'What is to be said about spikes of latency.',
        differences: 'Says it in its own words.',
        run: ({ server }) => new VerbatimReply(latencyReport(server)),
      }),
      sub({
        name: 'graph',
        arity: 3,
        since: '2.8.13',
        summary: 'How long an event took lately, drawn with characters.',
        run: (session, args) => graph(session, args[2]!),
      }),
      helpCommand({
        container: 'latency',
        group: 'server',
        since: '2.8.13',
        lines: [
          'DOCTOR',
          '    What is to be said about spikes of latency.',
          'GRAPH <event>',
          '    How long <event> took lately, drawn with characters.',
          'HISTORY <event>',
          '    How long <event> took lately: the worst of each second.',
          'LATEST',
          '    How long each event took the last time, and at most.',
          'RESET [<event> ...]',
          '    Forgets what was recorded of the events that are named,',
          '    of all of them when none is.',
          'HISTOGRAM [COMMAND ...]',
          '    How many calls of the commands that are named stayed below a time,',
          '    of all commands when none is.',
        ],
      }),
      sub({
        name: 'histogram',
        arity: -2,
        since: '7.0.0',
        summary: 'How many calls of commands stayed below a time.',
        differences: 'From the reading of a command to the writing of its reply, as in `INFO commandstats`.',
        complexity: 'O(N) in the number of commands',
        run: (session, args) => histogram(session, args.slice(2)),
      }),
      sub({
        name: 'history',
        arity: 3,
        since: '2.8.13',
        summary: 'How long an event took lately.',
        run: ({ server }, args) => (server.watch.latency.find(args[2]!.toString('latin1'))?.samples ?? []).map(pair),
      }),
      sub({
        name: 'latest',
        arity: 2,
        since: '2.8.13',
        summary: 'How long events took the last time.',
        differences:
          'The events of this node: `command` and `fast-command` where a command is evaluated, `aof-fsync-always` for writes of the log.',
        run: latest,
      }),
      sub({
        name: 'reset',
        arity: -2,
        since: '2.8.13',
        summary: 'Forgets events.',
        complexity: 'O(N) in the number of events',
        run: (session, args) => reset(session, args.slice(2)),
      }),
    ],
  },
]);
