// Calls ModelInfer at the address that is the first argument, with the message in the file that is the second.
// Prints the status code and the number of bytes of the answer.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// raw takes messages as they are.
type raw struct{}

func (raw) Marshal(message any) ([]byte, error)      { return message.([]byte), nil }
func (raw) Unmarshal(data []byte, message any) error { *message.(*[]byte) = data; return nil }
func (raw) Name() string                             { return "proto" }

func main() {
	message, err := os.ReadFile(os.Args[2])
	if err != nil {
		panic(err)
	}
	connection, err := grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		panic(err)
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var answer []byte
	err = connection.Invoke(ctx, "/inference.GRPCInferenceService/ModelInfer", message, &answer, grpc.ForceCodec(raw{}))
	fmt.Println(status.Code(err), len(answer))
}
