/** The command line of kvorum: all its commands. */
import { Command } from 'commander';
import { ConfigError } from '../../src/config/index.ts';
import { KvorumError } from '../../src/platform/index.ts';
import { CommandFailure } from '../cli/failure.ts';
import { packageVersion } from '../cli/version.ts';
import { addBenchCommand } from './bench.ts';
import { addCertsCommand } from './certs.ts';
import { addClusterCommand } from './cluster.ts';
import { addConfigCommand } from './config.ts';
import { addImportCommand } from './import.ts';
import { addInitCommand } from './init.ts';
import { addRedisProxyCommand } from './redis-proxy.ts';
import { addServerCommand } from './server.ts';
import { addStopCommand } from './stop.ts';

/** Runs the command that the process was started with; sets its exit code. */
export async function runKvorum(): Promise<void> {
  const program = new Command('kvorum')
    .description('A replicated, transactional key-value cluster that speaks Redis.')
    .version(packageVersion(), '-v, --version', 'print the version')
    .showHelpAfterError('(--help shows what there is)');

  addServerCommand(program);
  addClusterCommand(program);
  addStopCommand(program);
  addInitCommand(program);
  addCertsCommand(program);
  addBenchCommand(program);
  addImportCommand(program);
  addRedisProxyCommand(program);
  addConfigCommand(program);
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
      process.exitCode = error instanceof ConfigError ? 2 : 1;
    } else {
      console.error('kvorum: unexpected error');
      console.error(error);
      process.exitCode = 1;
    }
    // A node that failed half-way may hold handles that would keep the process alive.
    process.exit();
  }
}
