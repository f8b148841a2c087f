/** Gives a class the methods that `Json.to`, `state.set` and `emit` need. Only for editors: eshost's transform does it. */
declare function json(target: Function): void;
