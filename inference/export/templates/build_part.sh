
echo "== $name"
"$$TRTEXEC"$precision --skipInference \
    --onnx="onnx/$part/model.onnx" --saveEngine="repository/$name/1/model.plan.part" \
    --minShapes="$min" \
    --optShapes="$opt" \
    --maxShapes="$max"
mv "repository/$name/1/model.plan.part" "repository/$name/1/model.plan"
