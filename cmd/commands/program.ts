/** The command line of kvorum: all its commands. */
import { Command } from 'commander';
import { ConfigError } from '../../src/config/index.ts';
import { KvorumError } from '../../src/platform/index.ts';
import { CommandFailure } from '../cli/failure.ts';
import { packageVersion } from '../cli/version.ts';

/** Adds one command to the program. */
type AddCommand = (program: Command) => void;

/** Exit code for wrong settings and a command line that says nothing. */
const WRONG_USE = 2;

/** Every command, in the order of the help; its code is loaded when it is added. */
const COMMANDS: Readonly<Record<string, () => Promise<AddCommand>>> = {
  server: async () => (await import('./server.ts')).addServerCommand,
  cluster: async () => (await import('./cluster.ts')).addClusterCommand,
  stop: async () => (await import('./stop.ts')).addStopCommand,
  init: async () => (await import('./init.ts')).addInitCommand,
  certs: async () => (await import('./certs.ts')).addCertsCommand,
  bench: async () => (await import('./bench.ts')).addBenchCommand,
  import: async () => (await import('./import.ts')).addImportCommand,
  'redis-proxy': async () => (await import('./redis-proxy.ts')).addRedisProxyCommand,
  config: async () => (await import('./config.ts')).addConfigCommand,
};

/** Runs the command that the process was started with; sets its exit code. */
export async function runKvorum(): Promise<void> {
  const program = new Command('kvorum')
    .description('A replicated, transactional key-value cluster that speaks Redis.')
    .version(packageVersion(), '-v, --version', 'print the version')
    .showHelpAfterError('(--help shows what there is)')
    // A misspelled flag of a node is no reason to start it again and again.
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : WRONG_USE));

  // A node that starts does not wait for the code of the other commands.
  const [, , named = ''] = process.argv;
  const loads = Object.hasOwn(COMMANDS, named) ? [COMMANDS[named]!] : Object.values(COMMANDS);
  for (const load of loads) (await load())(program);
  program
    .command('version')
    .description('print the version of kvorum and of Node.js')
    .action(() => console.log(`kvorum ${packageVersion()}, node ${process.versions.node}`));

  try {
    await program.parseAsync();
  } catch (error) {
    if (error instanceof CommandFailure) {
      console.error(`kvorum: ${error.message}`);
      process.exitCode = error.exitCode;
    } else if (error instanceof KvorumError) {
      console.error(`kvorum: ${error.message}`);
      process.exitCode = error instanceof ConfigError ? WRONG_USE : 1;
    } else {
      console.error('kvorum: unexpected error');
      console.error(error);
      process.exitCode = 1;
    }
    // A node that failed half-way may hold handles that would keep the process alive.
    process.exit();
  }
}
