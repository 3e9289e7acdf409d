export { type LoadOperation, type LoadOptions, type LoadResult, type LoadTarget, runLoad } from './load.ts';
export { ReplyScanner } from './reply-scanner.ts';
