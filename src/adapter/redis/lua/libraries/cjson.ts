/** The library `cjson`: JSON as Redis' scripts have it, with its settings, its limits and its texts of errors. */
import { type Library, type LibraryFunction, type LuaApi, LuaType, pushLibrary } from '../engine/index.ts';
import { JsonDecoder } from './cjson-decoder.ts';
import { JsonEncoder } from './cjson-encoder.ts';
import { DEFAULT_JSON_SETTINGS, type JsonSettings } from './cjson-settings.ts';

const LARGEST = 0x7fff_ffff;
const MOST_DIGITS = 14;

/** Pushes the library. @param settings that scripts change */
export function cjsonLibrary(api: LuaApi, state: number, settings: JsonSettings): void {
  const options = new Options(api);
  const library: Library = {
    encode: (running) => {
      if (api.top(running) !== 1) return api.argumentError(running, 1, 'expected 1 argument');
      api.pushBytes(running, new JsonEncoder(api, running, settings).encode());
      return 1;
    },
    decode: (running) => {
      if (api.top(running) !== 1) return api.argumentError(running, 1, 'expected 1 argument');
      const text = api.checkBytes(running, 1);
      new JsonDecoder(api, running, settings, text).push();
      return 1;
    },
    encode_sparse_array: options.function(3, (running) => {
      settings.convertSparse = options.boolean(running, 1, settings.convertSparse);
      settings.sparseRatio = options.integer(running, 2, settings.sparseRatio, 0, LARGEST);
      settings.sparseSafe = options.integer(running, 3, settings.sparseSafe, 0, LARGEST);
      return 3;
    }),
    encode_max_depth: options.function(1, (running) => {
      settings.encodeDepth = options.integer(running, 1, settings.encodeDepth, 1, LARGEST);
      return 1;
    }),
    decode_max_depth: options.function(1, (running) => {
      settings.decodeDepth = options.integer(running, 1, settings.decodeDepth, 1, LARGEST);
      return 1;
    }),
    encode_number_precision: options.function(1, (running) => {
      settings.digits = options.integer(running, 1, settings.digits, 1, MOST_DIGITS);
      return 1;
    }),
    // There is no buffer to keep: the setting is only remembered.
    encode_keep_buffer: options.function(1, (running) => {
      settings.keepBuffer = options.boolean(running, 1, settings.keepBuffer);
      return 1;
    }),
    encode_invalid_numbers: options.function(1, (running) => {
      settings.encodeInvalid = options.choice(running, 1, settings.encodeInvalid, ['off', 'on', 'null'] as const);
      return 1;
    }),
    decode_invalid_numbers: options.function(1, (running) => {
      settings.decodeInvalid = options.choice(running, 1, settings.decodeInvalid, ['off', 'on'] as const);
      return 1;
    }),
    new: (running) => {
      cjsonLibrary(api, running, { ...DEFAULT_JSON_SETTINGS });
      return 1;
    },
    _NAME: 'cjson',
    _VERSION: '2.1.0',
  };
  pushLibrary(api, state, library);
  api.pushNullPointer(state);
  api.setField(state, -2, 'null');
}

/** Arguments of the functions that read and change settings; each reader pushes what the setting is then. */
class Options {
  private readonly api: LuaApi;

  constructor(api: LuaApi) {
    this.api = api;
  }

  /** A function of so many arguments at most, the missing ones nil. */
  function(count: number, run: LibraryFunction): LibraryFunction {
    return (state) => {
      if (this.api.top(state) > count) return this.api.argumentError(state, count + 1, 'found too many arguments');
      this.api.setTop(state, count);
      return run(state);
    };
  }

  integer(state: number, argument: number, setting: number, lowest: number, highest: number): number {
    const { api } = this;
    let value = setting;
    if (!api.isNone(state, argument)) {
      value = Math.trunc(api.checkNumber(state, argument));
      if (value < lowest || value > highest) {
        return api.argumentError(state, 1, `expected integer between ${lowest} and ${highest}`);
      }
    }
    api.pushNumber(state, value);
    return value;
  }

  boolean(state: number, argument: number, setting: boolean): boolean {
    const { api } = this;
    const value = api.isNone(state, argument) ? setting : api.toBoolean(state, argument);
    api.pushBoolean(state, value);
    return value;
  }

  /** One of some words, of which the first two are false and true as well. */
  choice<Word extends string>(state: number, argument: number, setting: Word, words: readonly Word[]): Word {
    const { api } = this;
    let value = setting;
    if (api.type(state, argument) === LuaType.Boolean) {
      value = words[api.toBoolean(state, argument) ? 1 : 0]!;
    } else if (!api.isNone(state, argument)) {
      const text = api.checkBytes(state, argument).toString('latin1');
      const word = words.find((one) => one === text);
      if (word === undefined) return api.argumentError(state, argument, `invalid option '${text}'`);
      value = word;
    }
    const place = words.indexOf(value);
    if (place < 2) api.pushBoolean(state, place === 1);
    else api.pushText(state, value);
    return value;
  }
}
