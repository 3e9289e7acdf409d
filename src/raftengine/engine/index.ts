/**
 * All groups of a node under one tick and one log.
 */

export { RaftEngine } from './engine.ts';
