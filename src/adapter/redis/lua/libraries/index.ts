/** The libraries of scripts beside Lua's own: numbers as bits, C structures, JSON and MessagePack. */
export { bitLibrary } from './bit.ts';
export { cjsonLibrary } from './cjson.ts';
export { DEFAULT_JSON_SETTINGS, type JsonSettings } from './cjson-settings.ts';
export { messagePackLibrary } from './message-pack.ts';
export { structLibrary } from './struct.ts';
