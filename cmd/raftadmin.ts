#!/usr/bin/env node
/** The operators' command line. */
import { requireNode } from './cli/node-version.ts';

requireNode('raftadmin');
// An older Node.js could not even link the modules behind this one.
const { keepCompiledCode } = await import('./cli/compile-cache.ts');
keepCompiledCode();
const { processTerminal, runRaftadmin } = await import('./raftadmin/index.ts');
// Snapshots are users' data.
process.umask(0o077);
process.exitCode = await runRaftadmin(process.argv.slice(2), processTerminal());
