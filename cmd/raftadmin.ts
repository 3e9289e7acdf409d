#!/usr/bin/env node
/** The operators' command line. */
import { processTerminal, runRaftadmin } from './raftadmin/index.ts';

const OLDEST_NODE_MAJOR = 24;
if (Number.parseInt(process.versions.node, 10) < OLDEST_NODE_MAJOR) {
  console.error(`raftadmin needs Node.js ${OLDEST_NODE_MAJOR} or newer, this is ${process.versions.node}`);
  process.exit(1);
}

process.exitCode = await runRaftadmin(process.argv.slice(2), processTerminal());
