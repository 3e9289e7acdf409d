#!/usr/bin/env node
/** The command line of kvorum. */
import { requireNode } from './cli/node-version.ts';

requireNode('kvorum');
// An older Node.js could not even link the modules behind this one.
const { keepCompiledCode } = await import('./cli/compile-cache.ts');
keepCompiledCode();
// Before anything else is loaded, which a process that begins anew would load twice.
if (process.argv[2] === 'server') {
  const { restartWithAllocator } = await import('./cli/allocator.ts');
  restartWithAllocator();
}
const { runKvorum } = await import('./commands/program.ts');
await runKvorum();
