// A request as people would send it themselves: with curl, with Triton's client in Python, and as V2's JSON.

import { address, contentType, hasParameters, v1Json } from "./wire.js";

function shellQuoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

export function curl(request) {
  const head = `curl -s -H ${shellQuoted(`Content-Type: ${contentType(request)}`)} \\\n  --data-binary`;
  const url = `${location.origin}${address(request)}`;
  if (request.windows) return `${head} @- ${url} <<'END'\n${v1Json(request)}\nEND`;
  const name = shellQuoted(request.file.name);
  if (!hasParameters(request)) return `${head} @${name} \\\n  ${url}`;
  const [before, after] = v1Json(request, "|").split("|");
  return [
    `{ printf ${shellQuoted(before)}`,
    `  base64 < ${name} | tr -d '\\n'`,
    `  printf ${shellQuoted(after)}; } |`,
    `  ${head} @- ${url}`,
  ].join("\n");
}

export function python(request) {
  const [file, windows] = [request.file, request.windows];
  const options = hasParameters(request) ? `, parameters=${pythonDict(request.parameters)}` : "";
  const secure = location.protocol === "https:" ? ", ssl=True" : "";
  const port = location.port || (secure ? 443 : 80);
  const name = file ? "image" : "window";
  return [
    "import numpy as np",
    "import tritonclient.http as triton  # pip install 'tritonclient[http]'",
    "",
    file
      ? `array = np.array([open(${JSON.stringify(file.name)}, "rb").read()], dtype=object)`
      : `array = np.array(${JSON.stringify(windows)}, dtype=np.float32)`,
    `with triton.InferenceServerClient("${location.hostname}:${port}"${secure}) as client:`,
    `    tensor = triton.InferInput("${name}", list(array.shape), "${file ? "BYTES" : "FP32"}")`,
    "    tensor.set_data_from_numpy(array)",
    `    answer = client.infer("${request.service.name}", [tensor]${options})`,
    `for name in ${JSON.stringify(request.service.outputs)}:`,
    "    print(name, answer.as_numpy(name).tolist())",
  ].join("\n");
}

export function v2Json(request, image) {
  const input = request.windows
    ? { name: "window", datatype: "FP32", shape: [request.windows.length, request.windows[0].length], data: request.windows }
    : { name: "image", datatype: "BYTES", shape: [1], data: [image] };
  return JSON.stringify({ inputs: [input], ...(hasParameters(request) && { parameters: request.parameters }) });
}

export function v2Address(request) {
  return `${location.origin}/v2/models/${request.service.name}/infer`;
}

function pythonDict(parameters) {
  const entries = Object.entries(parameters).map(([name, value]) => `"${name}": ${{ true: "True", false: "False" }[value] ?? value}`);
  return `{${entries.join(", ")}}`;
}
