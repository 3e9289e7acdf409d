/** Who owns a key: the directory of ranges, its catalog, its watchers, and each group's own table of spans. */
export * from './errors.ts';
export { DEFAULT_HISTORY_VERSIONS, RouteEngine } from './route-engine.ts';
export { RouteTable, RouteTableLoader } from './route-table.ts';
export * from './types.ts';
