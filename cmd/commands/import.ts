/** `kvorum import`: the way in from Redis. */
import type { Command } from 'commander';
import { CommandFailure } from '../cli/failure.ts';
import { parseCount, parseTargets } from '../cli/option-values.ts';
import { formatCount, formatTable } from '../cli/table.ts';
import {
  DEFAULT_WRITER_LIMITS,
  type Existing,
  type ImportReport,
  importFile,
  importReplica,
  type WriterOptions,
} from '../import/index.ts';
import {
  addSecurityOptions,
  type LinkTarget,
  parseServer,
  type SecurityFlags,
  type ServerAddress,
  securityOf,
  serverSecurityOf,
} from '../redis/index.ts';

const EXAMPLES = `
Examples:
  kvorum import dump.rdb
      all keys of a file of Redis into the cluster at 127.0.0.1:6379, which must be empty
  kvorum import dump.rdb --to node1:6379,node2:6379,node3:6379 --verify
      through three nodes; then each key is read again and compared
  kvorum import dump.rdb --keep-existing
      only keys that the cluster does not have
  kvorum import dump.rdb --verify-only
      writes nothing, compares
  kvorum import --from redis://old.example:6379
      a copy of a running Redis, and then each write, until it is interrupted
  kvorum import --from redis://old.example:6379 --until-caught-up --verify
      ends when the cluster has what Redis has, and compares

An import that was ended goes on where it was when the same command is run again.
Exit code 1: something was refused or differs.`;

interface ImportFlags extends SecurityFlags {
  readonly to: LinkTarget[];
  readonly from?: ServerAddress;
  readonly fromPasswordFile?: string;
  readonly fromTlsCa?: string;
  readonly untilCaughtUp?: true;
  readonly last?: true;
  readonly replace?: true;
  readonly keepExisting?: true;
  readonly verify?: true;
  readonly verifyOnly?: true;
  readonly state?: string;
  readonly connections: number;
  readonly giveUp: number;
  readonly json?: true;
}

/** Adds the command. */
export function addImportCommand(program: Command): void {
  const command = program
    .command('import')
    .argument('[file]', 'a file that Redis has saved (dump.rdb)')
    .summary('bring the data of a Redis into a cluster')
    .description('Writes the keys of a Redis into a cluster, with types, expiries and libraries of functions.')
    .option('-t, --to <host:port,...>', 'nodes of the cluster (default: 127.0.0.1:6379)', parseTargets, [
      { host: '127.0.0.1', port: 6379 },
    ])
    .option(
      '--from <url>',
      'a running Redis instead of a file: redis://[user:password@]host:port, or rediss:// for TLS',
      parseServer,
    )
    .option('--from-password-file <file>', 'file whose first line is the password of that Redis')
    .option('--from-tls-ca <file>', 'authorities (PEM) that the certificate of that Redis must lead to')
    .option('--until-caught-up', 'end when the cluster has what the running Redis has, instead of following it')
    .option(
      '--last',
      'with --until-caught-up: nothing is brought from there any more, remove the note of how far it has come',
    )
    .option('--replace', 'write over keys that the cluster has; from a running Redis, empty the cluster first')
    .option('--keep-existing', 'leave keys that the cluster has')
    .option('--verify', 'read everything again afterwards and compare')
    .option('--verify-only', 'write nothing, compare')
    .option('--state <file>', 'where it is kept how far the import has come (default: <file>.import)')
    .option(
      '-C, --connections <count>',
      'connections to the cluster',
      parseCount(1, 1000),
      DEFAULT_WRITER_LIMITS.connections,
    )
    .option(
      '--give-up <seconds>',
      'how long to wait for a cluster that takes nothing',
      parseCount(1, 86_400),
      DEFAULT_WRITER_LIMITS.giveUpMs / 1000,
    )
    .option('--json', 'print the report as JSON');
  addSecurityOptions(command);
  command
    .addHelpText('after', EXAMPLES)
    .configureHelp({
      optionDescription: ({ long, description, defaultValue }) =>
        defaultValue === undefined || long === '--to' ? description : `${description} (default: ${defaultValue})`,
    })
    .action(async (file: string | undefined, flags: ImportFlags) => {
      await runImport(file, flags);
    });
}

async function runImport(file: string | undefined, flags: ImportFlags): Promise<void> {
  if (flags.replace && flags.keepExisting)
    throw new CommandFailure('--replace and --keep-existing exclude each other', 2);
  if ((file === undefined) === (flags.from === undefined))
    throw new CommandFailure('name a file, or a running Redis with --from', 2);
  if (flags.from !== undefined && (flags.keepExisting || flags.verifyOnly || flags.state !== undefined))
    throw new CommandFailure('--keep-existing, --verify-only and --state are for files', 2);
  if (file !== undefined && flags.untilCaughtUp)
    throw new CommandFailure('--until-caught-up is for a running Redis', 2);
  if (flags.last && !flags.untilCaughtUp) throw new CommandFailure('--last goes with --until-caught-up', 2);
  const existing: Existing = flags.replace ? 'replace' : flags.keepExisting ? 'keep' : 'refuse';
  const security = await securityOf(flags, process.env);
  const writer: WriterOptions = {
    ...DEFAULT_WRITER_LIMITS,
    targets: flags.to,
    security,
    connections: flags.connections,
    giveUpMs: flags.giveUp * 1000,
  };
  const abort = new AbortController();
  process.once('SIGINT', () => abort.abort());
  process.once('SIGTERM', () => abort.abort());
  const output = { isScreen: process.stderr.isTTY === true, write: (text: string) => void process.stderr.write(text) };
  const report =
    file === undefined
      ? await importReplica({
          source: flags.from!,
          sourceSecurity: await serverSecurityOf(flags.from!, flags.fromPasswordFile, flags.fromTlsCa),
          writer,
          isReplacing: existing === 'replace',
          untilCaughtUp: flags.untilCaughtUp === true,
          isLast: flags.last === true,
          verify: flags.verify === true,
          output,
          interrupted: abort.signal,
        })
      : await importFile({
          file,
          state: flags.state,
          writer,
          existing,
          verify: flags.verifyOnly ? 'only' : flags.verify ? 'after' : 'no',
          output,
          interrupted: abort.signal,
        });
  console.log(flags.json ? JSON.stringify(jsonOf(report), undefined, 2) : textOf(report));
  const { tally, differences } = report;
  if (tally.refused > 0 || (differences?.total ?? 0) > 0) process.exitCode = 1;
}

function jsonOf({ tally, seconds, differences }: ImportReport): unknown {
  const { written, inParts, kept, expired, before, libraries, commands, repeated, refused, examples } = tally;
  return {
    ...{ written, inParts, kept, expired, before, libraries, commands, repeated, refused, examples, seconds },
    ...(differences === undefined
      ? {}
      : {
          compared: differences.compared,
          differences: Object.fromEntries(differences.entries()),
          different: differences.examples,
        }),
  };
}

function textOf({ tally, seconds, differences }: ImportReport): string {
  const rows: [string, string][] = [
    ['keys written', formatCount(tally.written)],
    ['  of them in parts', formatCount(tally.inParts)],
    ['kept as they were', formatCount(tally.kept)],
    ['expired by themselves', formatCount(tally.expired)],
    ['done in a run before', formatCount(tally.before)],
    ['libraries of functions', formatCount(tally.libraries)],
    ['commands of the source', formatCount(tally.commands)],
    ['  of them perhaps twice', formatCount(tally.repeated.length)],
    ['refused', formatCount(tally.refused)],
    ['keys a second', formatCount(tally.written / Math.max(seconds, 0.001))],
  ];
  if (differences !== undefined) {
    rows.push(['keys compared', formatCount(differences.compared)], ['different', formatCount(differences.total)]);
    for (const [kind, count] of differences.entries()) rows.push([`  ${kind}`, formatCount(count)]);
  }
  const examples = [...tally.examples, ...(differences?.examples ?? [])].map((line) => `  ${line}`);
  const table = formatTable(rows, ['left', 'right']);
  return examples.length === 0 ? table : `${table}\nfor example:\n${examples.join('\n')}`;
}
