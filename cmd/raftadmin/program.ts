/** The whole command line of raftadmin as a tree of declared commands. */
import { Argument, Command, Option } from 'commander';
import { CommandFailure } from '../cli/failure.ts';
import { packageVersion } from '../cli/version.ts';
import { COMMANDS } from './commands/index.ts';
import { completionScript, SHELLS, type Shell } from './completion.ts';
import { FORMATS } from './output.ts';
import { proofOf, TLS_VARIABLES, TOKEN_VARIABLES } from './proof.ts';
import { DEFAULT_ENDPOINT, type Declare, examples, Session, type SharedFlags, type Work } from './session.ts';
import type { Terminal } from './terminal.ts';
import { parseDuration, parseEndpoints } from './values.ts';

const DEFAULT_TIMEOUT_MS = 10_000;

/**
 * Declares everything; nothing runs before the program parses.
 * @param tellsUsage false leaves it to the caller to say what is wrong with a command line
 */
export function createProgram(terminal: Terminal, tellsUsage = true): Command {
  const program = examples(
    new Command('raftadmin')
      .description('Looks at a kvorum cluster and changes it, through any of its nodes.')
      .version(packageVersion(), '-v, --version', 'print the version')
      .option(
        '-e, --endpoints <host:port,...>',
        `nodes to ask, the first that is up (env RAFTADMIN_ENDPOINTS, default: ${DEFAULT_ENDPOINT})`,
        parseEndpoints,
      )
      .addOption(new Option('-w, --write-out <format>', 'what is printed').choices(FORMATS).default('table'))
      .addOption(
        new Option('--timeout <duration>', 'longest time for one answer')
          .argParser(parseDuration)
          .default(DEFAULT_TIMEOUT_MS, '10s'),
      )
      .option('--tls-ca <file>', `authorities that nodes' certificates must lead to (env ${TLS_VARIABLES.ca})`)
      .option('--tls-cert <file>', `certificate that nodes are shown (env ${TLS_VARIABLES.cert})`)
      .option('--tls-key <file>', `private key of that certificate (env ${TLS_VARIABLES.key})`)
      .option(
        '--token-file <file>',
        `token that is shown with every call (env ${TOKEN_VARIABLES.file}, or ${TOKEN_VARIABLES.token} with the token itself)`,
      )
      .option('-y, --yes', 'do not ask before what cannot be undone')
      .configureHelp({ showGlobalOptions: true })
      .configureOutput({
        writeOut: (text) => terminal.write(text),
        writeErr: (text) => {
          if (tellsUsage) terminal.writeError(text);
        },
      })
      .showHelpAfterError('(--help shows what there is)')
      .exitOverride(),
    ['status', 'how the replicas of all groups are'],
    ['routes list -w json', 'which group has which keys, for a program; failures are JSON too, on the error side'],
    ['--endpoints 10.0.0.1:50051,10.0.0.2:50051 health', 'what is broken, if anything'],
  ).addHelpText('after', '\nExit codes: 0 done, 1 refused or failed, 2 wrong use, 3 no endpoint answers.');

  const declare: Declare = <Args extends readonly unknown[]>(command: Command, work: Work<Args>) =>
    command.action(async (...params: unknown[]) => {
      // Commander calls with the arguments, the flags and the command itself.
      const [self, args] = [params.at(-1) as Command, params.slice(0, -1) as unknown as Args];
      const flags = self.optsWithGlobals() as SharedFlags;
      const session = new Session(terminal, flags, await proofOf(flags, terminal));
      try {
        await work(session, ...args);
      } finally {
        session.cluster.close();
      }
    });

  for (const add of COMMANDS) add(program, declare);
  addCompletion(program, terminal);
  const version = program
    .command('version')
    .summary('versions of raftadmin and of the nodes')
    .description('Prints the version of this program and those of the nodes, as far as they answer.');
  declare(examples(version, ['version', 'before and after an upgrade']), printVersions);
  return program;
}

function addCompletion(program: Command, terminal: Terminal): void {
  examples(
    program
      .command('completion')
      .summary('completion script for a shell')
      .description('Prints a script that makes the shell complete commands and flags.')
      .addArgument(new Argument('<shell>', 'which shell').choices(SHELLS)),
    ['completion bash >/etc/bash_completion.d/raftadmin', 'for everybody on this machine'],
    ['completion fish | source', 'in this shell only'],
  ).action((shell: Shell) => terminal.write(completionScript(program, shell)));
}

async function printVersions(session: Session): Promise<void> {
  const own = packageVersion();
  let nodes: { nodeId: number; version: string }[] = [];
  try {
    const status = await session.cluster.call('Status', { groups: [] });
    nodes = status.nodes.map(({ nodeId, version }) => ({ nodeId, version }));
  } catch (error) {
    // The own version is told whether or not there is a cluster.
    if (!(error instanceof CommandFailure)) throw error;
    session.note(error.message);
  }
  const rows = [
    { who: 'raftadmin', version: own },
    ...nodes.map((node) => ({ who: `node ${node.nodeId}`, version: node.version || 'does not answer' })),
  ];
  session.rows(
    { raftadmin: own, nodes },
    [
      { name: 'program', value: (row: { who: string; version: string }) => row.who },
      { name: 'version', value: (row) => row.version },
    ],
    rows,
  );
}
