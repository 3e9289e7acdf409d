#!/usr/bin/env node
/** The command line of kvorum. */
import { Command } from 'commander';
import { ConfigError } from '../src/config/index.ts';
import { KvorumError } from '../src/platform/index.ts';
import { CommandFailure } from './cli/failure.ts';
import { packageVersion } from './cli/version.ts';
import { addBenchCommand } from './commands/bench.ts';
import { addClusterCommand } from './commands/cluster.ts';
import { addConfigCommand } from './commands/config.ts';
import { addServerCommand } from './commands/server.ts';

const OLDEST_NODE_MAJOR = 24;
if (Number.parseInt(process.versions.node, 10) < OLDEST_NODE_MAJOR) {
  console.error(`kvorum needs Node.js ${OLDEST_NODE_MAJOR} or newer, this is ${process.versions.node}`);
  process.exit(1);
}

const program = new Command('kvorum')
  .description('A replicated, transactional key-value cluster that speaks Redis.')
  .version(packageVersion(), '-v, --version', 'print the version')
  .showHelpAfterError('(--help shows what there is)');

addServerCommand(program);
addClusterCommand(program);
addBenchCommand(program);
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
