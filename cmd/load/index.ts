export { type LoadOperation, type LoadOptions, type LoadResult, runLoad } from './load.ts';
