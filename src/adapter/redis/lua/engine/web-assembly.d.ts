/** The part of WebAssembly's JavaScript interface that is used here: Node has it, its type declarations do not. */

declare global {
  namespace WebAssembly {
    class Module {
      constructor(bytes: Uint8Array);
    }

    class Instance {
      readonly exports: Readonly<Record<string, unknown>>;
      constructor(module: Module, imports: Imports);
    }

    class Memory {
      readonly buffer: ArrayBuffer;
      grow(pages: number): number;
    }

    class Table {
      readonly length: number;
      get(index: number): unknown;
      set(index: number, value: unknown): void;
      /** @returns the length before */
      grow(by: number): number;
    }

    type Imports = Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  }
}

export {};
